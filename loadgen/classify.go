package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
)

// classifyDial says what became of an attempt to connect.
func classifyDial(err error) classID {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return nameResolution
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return noRoute
	case isTimeout(err):
		return connectTimeout
	}
	return connectFailed
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, syscall.ETIMEDOUT) || (errors.As(err, &ne) && ne.Timeout())
}

// classifyExchange says how an exchange that did not end well failed. What is in o tells how far it had come: a class
// when the answer itself was wrong, a first byte, a status.
func classifyExchange(err error, o *outcome, reused bool) classID {
	switch {
	case o.class != ok:
		return o.class
	case isTimeout(err):
		if o.status != 0 {
			return bodyTimeout
		}
		return headerTimeout
	case o.first != 0:
		return resetInBody
	case reused:
		return closedReused
	}
	return resetBeforeByte
}

// judge compares a complete answer with what was expected.
func (e *engine) judge(o *outcome, check *bodyCheck) classID {
	x := &e.w.Expect
	switch {
	case x.Status == nil && o.status >= 400, x.Status != nil && !slices.Contains(x.Status, int(o.status)):
		return unexpectedStatus
	case x.Length > 0 && o.bytes != x.Length:
		return wrongLength
	case x.Body != nil && (check.bad || check.at != int64(len(x.Body))):
		return wrongBody
	}
	return ok
}

// unexpected words what judge found.
func (e *engine) unexpected(o *outcome) error {
	switch o.class {
	case unexpectedStatus:
		return statusError(o.status)
	case wrongLength:
		return fmt.Errorf("%d bytes instead of %d", o.bytes, e.w.Expect.Length)
	}
	return errWrongBody
}

var errWrongBody = errors.New("the body differs from the expected one")

type statusError int16

func (s statusError) Error() string { return fmt.Sprintf("status %d", int(s)) }
