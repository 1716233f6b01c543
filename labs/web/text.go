package web

import (
	"fmt"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
)

// Node is a text, or an element: its name and what it holds.
type Node any

// Element makes a node.
func Element(name string, children ...Node) Node { return append([]Node{name}, children...) }

// Markdown is a text as nodes.
func Markdown(source string) ([]Node, error) {
	m := markdown{[]byte(source)}
	return m.children(goldmark.DefaultParser().Parse(text.NewReader(m.source)))
}

type markdown struct{ source []byte }

func (m markdown) children(n ast.Node) (all []Node, err error) {
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		nodes, err := m.node(c)
		if err != nil {
			return nil, err
		}
		all = append(all, nodes...)
	}
	return all, nil
}

func (m markdown) node(n ast.Node) ([]Node, error) {
	name := ""
	switch n := n.(type) {
	case *ast.Text:
		s := string(n.Segment.Value(m.source))
		if n.SoftLineBreak() || n.HardLineBreak() {
			s += " "
		}
		return []Node{s}, nil
	case *ast.String:
		return []Node{string(n.Value)}, nil
	case *ast.FencedCodeBlock, *ast.CodeBlock:
		var b strings.Builder
		for _, line := range n.Lines().Sliced(0, n.Lines().Len()) {
			b.Write(line.Value(m.source))
		}
		return []Node{Element("pre", strings.TrimRight(b.String(), "\n"))}, nil
	case *ast.TextBlock:
		return m.children(n)
	case *ast.Paragraph:
		name = "p"
	case *ast.Heading:
		name = "h4"
	case *ast.CodeSpan:
		name = "code"
	case *ast.ListItem:
		name = "li"
	case *ast.List:
		name = "ul"
		if n.IsOrdered() {
			name = "ol"
		}
	case *ast.Emphasis:
		name = "em"
		if n.Level == 2 {
			name = "strong"
		}
	default:
		return nil, fmt.Errorf("%s is not known here", n.Kind())
	}
	children, err := m.children(n)
	return []Node{Element(name, children...)}, err
}
