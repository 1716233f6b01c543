package loadgen

import (
	"time"

	"coinbench/history"
)

// classID is a failure class as a small number: its place in classNames. 0 is history.OK.
type classID uint8

// The order is that of history.Classes, after OK.
const (
	ok classID = iota
	nameResolution
	refused
	noRoute
	connectTimeout
	connectFailed
	resetBeforeByte
	resetInBody
	closedReused
	headerTimeout
	bodyTimeout
	malformed
	unread
	unexpectedStatus
	wrongLength
	wrongBody
	noAnswer
	cancelled
	dropped
	classCount
)

func (c classID) class() history.Class {
	if c == ok {
		return history.OK
	}
	return history.Classes()[c-1]
}

// outcome is one request as the hot path knows it: no pointers but the error, which is nil when all went well.
// Instants are since the origin.
type outcome struct {
	seq             int64
	due, sent, done time.Duration
	connect, first  time.Duration // connect is a length, first an instant
	bytes           int64         // of the body
	received        int64         // of the whole answer; 0: not known
	err             error
	replica         nameID
	version         nameID
	status          int16
	class           classID
	waited          bool          // open workloads: every connection was busy when the request fell due
	late            time.Duration // of one that waited or was dropped: from due until it did, which is the generator's own delay
}
