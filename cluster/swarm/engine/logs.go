package engine

import (
	"io"

	"github.com/moby/moby/api/pkg/stdcopy"
)

// Output is what an engine's log stream holds, of standard output and error as it comes; its lines are whole. Closing it closes logs.
func Output(logs io.ReadCloser) io.ReadCloser {
	out, feed := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(feed, feed, logs)
		feed.CloseWithError(err)
	}()
	return output{out, logs}
}

type output struct {
	*io.PipeReader
	logs io.Closer
}

// Close ends both.
func (o output) Close() error {
	_ = o.PipeReader.Close()
	return o.logs.Close()
}
