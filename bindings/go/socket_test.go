package sentinel

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// ask sends a command of words and reads a reply of one line.
func ask(t testing.TB, conn net.Conn, reader *bufio.Reader, command string) string {
	t.Helper()
	check(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err := fmt.Fprintf(conn, "%s\r\n", command)
	check(t, err)
	line, err := reader.ReadString('\n')
	check(t, err)
	return strings.TrimSuffix(line, "\r\n")
}

func TestSocketsSpeakResp(t *testing.T) {
	client := primaryOf(t)
	conn, err := client.Conn()
	check(t, err)
	defer conn.Close()
	reader := bufio.NewReader(conn)
	equal(t, "+OK", ask(t, conn, reader, "SET go:socket 41"))
	equal(t, ":42", ask(t, conn, reader, "INCR go:socket"))
	other, err := client.DialContext(background, "tcp", "of no account:1")
	check(t, err)
	defer other.Close()
	equal(t, ":43", ask(t, other, bufio.NewReader(other), "INCR go:socket"))
	// A deadline of the connection's own works as on any other.
	check(t, conn.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, err = reader.ReadByte()
	var late net.Error
	equal(t, true, errors.As(err, &late) && late.Timeout())
	over, cancel := context.WithCancel(background)
	cancel()
	_, err = client.DialContext(over, "tcp", "")
	equal(t, true, errors.Is(err, context.Canceled))
	client.Close()
	check(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	if _, err = reader.ReadByte(); err == nil {
		t.Fatal("the stream outlives its client")
	}
	_, err = client.Conn()
	equal(t, true, errors.Is(err, ErrClosed))
}
