package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
)

// open asks the first Sentinel for the primary, and gives each caller a connection to it for the time of a call: what a
// program has without any library.
func open(service string, sentinels []string) func() error {
	sentinel, err := net.Dial("tcp", sentinels[0])
	must(err)
	_, err = fmt.Fprintf(sentinel, "*3\r\n$8\r\nSENTINEL\r\n$23\r\nGET-MASTER-ADDR-BY-NAME\r\n$%d\r\n%s\r\n", len(service), service)
	must(err)
	var host, port string
	var length int
	_, err = fmt.Fscanf(sentinel, "*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", &length, &host, &length, &port)
	must(err)
	must(sentinel.Close())
	address := net.JoinHostPort(host, port)
	idle := sync.Pool{New: func() any {
		conn, err := net.Dial("tcp", address)
		must(err)
		return &connection{conn, bufio.NewReader(conn)}
	}}
	value := "0123456789012345678901234567890123456789012345678901234567890123"
	first := idle.Get().(*connection)
	_, err = fmt.Fprintf(first.conn, "*3\r\n$3\r\nSET\r\n$5\r\nbench\r\n$%d\r\n%s\r\n", len(value), value)
	must(err)
	_, err = first.reader.ReadString('\n')
	must(err)
	idle.Put(first)
	return func() error {
		c := idle.Get().(*connection)
		defer idle.Put(c)
		return c.get()
	}
}

type connection struct {
	conn   net.Conn
	reader *bufio.Reader
}

var request = []byte("*2\r\n$3\r\nGET\r\n$5\r\nbench\r\n")

func (c *connection) get() error {
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	length := 0
	for _, digit := range line[1 : len(line)-2] {
		length = length*10 + int(digit-'0')
	}
	value := make([]byte, length+2)
	_, err = io.ReadFull(c.reader, value)
	return err
}
