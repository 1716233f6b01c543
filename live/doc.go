// Package live shows a run while it is recorded, or afterwards, to a browser.
//
// A run's folder enters, read as it grows by a history.Tail; frames (package frame) leave, one a second, to every page that is open. Nobody
// who watches can hold up who records: the two share nothing but the files. A Server has no route that changes anything.
package live
