package labs

import (
	"bytes"
	"fmt"
	"html/template"
	"strings"

	"github.com/yuin/goldmark"

	_ "embed"
)

//go:embed page.tmpl
var page string

// Sheet is a lab as it is printed.
type Sheet struct {
	Lab    Lab
	Rounds []SheetRound
	Notes  bool // the paragraphs after the run and the trainer's notes
}

// SheetRound is a round with the numbers that stand for a learner's own.
type SheetRound struct {
	Name     string
	Vars     map[string]float64
	Metric   func(string) (float64, error) // of a simulated run; nil: there is none
	Answer   string
	Commands []string
}

// HTML writes sheets as one page that needs nothing else, for screens and for paper.
func HTML(sheets []Sheet, language string) ([]byte, error) {
	type part struct {
		Heading string
		ID      string
		Body    template.HTML
	}
	type shown struct {
		Title, Name string
		Minutes     int
		Notes       bool
		Parts       []part
	}
	var all []shown
	for _, s := range sheets {
		v := shown{Title: s.Lab.Title, Name: s.Lab.Name, Minutes: s.Lab.Minutes, Notes: s.Notes}
		add := func(heading, id, text string, r SheetRound) error {
			filled, err := Fill(text, r.Vars, r.Metric)
			if err != nil {
				return fmt.Errorf("lab %s: section %s: %w", s.Lab.Name, id, err)
			}
			var b bytes.Buffer
			if err := goldmark.Convert([]byte(filled), &b); err != nil {
				return fmt.Errorf("lab %s: section %s: %w", s.Lab.Name, id, err)
			}
			v.Parts = append(v.Parts, part{heading, id, template.HTML(b.String())}) // our own text: goldmark leaves out HTML within it
			return nil
		}
		for _, section := range s.Lab.Sections {
			if !s.Notes && section.ID != "why" && section.ID != "look" {
				continue
			}
			r := s.Rounds[0]
			if strings.HasPrefix(section.ID, prefix(Transfer)) {
				r = s.Rounds[1]
			}
			if err := add(section.Heading, section.ID, section.Text, r); err != nil {
				return nil, err
			}
			if section.ID == "why" {
				for _, r := range s.Rounds {
					text := s.Lab.Round(r.Name).Ask
					text += "\n\n    " + strings.Join(r.Commands, "\n    ")
					if s.Notes {
						text += "\n\n**" + r.Answer + "**"
					}
					if err := add(headings(language)[r.Name], r.Name, text, r); err != nil {
						return nil, err
					}
				}
			}
		}
		all = append(all, v)
	}
	t, err := template.New("page").Parse(page)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{"Language": language, "Labs": all, "Words": headings(language)})
	return b.Bytes(), err
}

// Heading is a round's name for its readers.
func Heading(round, language string) string { return headings(language)[round] }

// headings are the page's own words.
func headings(language string) map[string]string {
	if language == "zh" {
		return map[string]string{Question: "问题", Transfer: "换一种设置", "prediction": "我的预测", "confidence": "把握", "reading": "读数",
			"minutes": "分钟", "title": "coinbench 实验"}
	}
	return map[string]string{Question: "The question", Transfer: "Another setting", "prediction": "My prediction", "confidence": "Confidence",
		"reading": "My reading", "minutes": "minutes", "title": "coinbench labs"}
}
