// Package live shows a run while it is recorded, or afterwards, to a browser.
//
// A run's folder enters, read as it grows by a history.Tail; frames (package frame) leave, one a second, to every page that is open. Nobody
// who watches can hold up who records: the two share nothing but the files. Without Controls a Server has no route that changes anything;
// with them, who knows their token has steps played by a scenarios.Session, chosen from a closed set.
package live
