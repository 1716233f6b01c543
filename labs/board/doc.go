// Package board shows a room what it predicts, and what the trainer's run measured then.
//
//	learner's lab serve --share -> Room -> HTTP -> Board -> page of the room, page of the trainer
//
// Nothing on the board can be pressed. The trainer's own steps in a lab lead it: a prediction of theirs shows the room's, the begin of
// their run ends the vote, and its end shows which way of thinking gives which number. Everything is in memory, and bounded.
package board
