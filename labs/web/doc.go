// Package web serves labs to a browser: the question and its steps on one side, the live page of the run on the other.
//
//	GET labs, GET view?lab=NAME --Steps--> what the page shows, a function of the attempts' folder alone
//	POST step {lab, verb, ...} --Steps.Take--> nothing, or why it is refused
//	live/LAB/ATTEMPT/RUN/ --Steps.Watch--> the page of that run
//
// Steps are the functions behind the commands. Texts leave as trees of elements of which the page makes its own: it never parses HTML.
package web
