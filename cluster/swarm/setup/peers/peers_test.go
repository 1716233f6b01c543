package peers

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen is a listener of this machine alone, which serve gets.
func listen(t *testing.T, serve func(context.Context, net.Listener) error) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestAPeerIsReached(t *testing.T) {
	address := listen(t, Serve)
	for range 3 {
		if trip, err := Try(t.Context(), address); err != nil || trip <= 0 {
			t.Errorf("%s, %v", trip, err)
		}
	}
}

// A peer that lets only the first byte through is a network that loses large packets.
func TestLostLargePacketsAreNamed(t *testing.T) {
	address := listen(t, func(ctx context.Context, l net.Listener) error {
		stop := context.AfterFunc(ctx, func() { l.Close() })
		defer stop()
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		one := make([]byte, 1)
		if _, err := io.ReadFull(conn, one); err != nil {
			return err
		}
		if _, err := conn.Write(one); err != nil {
			return err
		}
		return conn.Close()
	})
	if _, err := Try(t.Context(), address); err == nil || !strings.Contains(err.Error(), "8192 bytes do not") {
		t.Errorf("%v", err)
	}
}

func TestAPeerThatIsNotThereIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Try(ctx, address); err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("%v", err)
	}
}
