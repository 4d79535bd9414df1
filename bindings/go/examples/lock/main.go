// A lock that is never had twice, whatever becomes of the primary: four contenders take it in turn, and say what they see.
//
//	lock SERVICE REPLICAS HOST:PORT [HOST:PORT...]
//
// REPLICAS is how many have to have it: all that the service has. Ends on SIGINT or SIGTERM with a summary, and with an error when
// two had it at once, or one lost it before its time.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"libsentinel/sentinel"
)

const (
	ttl  = 4 * time.Second
	work = 3 * time.Second // longer than a failover takes: whoever has it when a primary dies has it still when the next one serves
)

// witness sees every contender, as nothing does when they are processes of their own.
type witness struct {
	sync.Mutex
	holder *Mutex
	until  time.Time
	had    int
	twice  int
	gone   int
}

func (w *witness) begins(holder *Mutex) {
	w.Lock()
	defer w.Unlock()
	w.had++
	fmt.Println("held", w.had)
	if w.holder != nil && time.Now().Before(w.until) {
		w.twice++
		fmt.Println("HELD TWICE")
	}
	w.holder, w.until = holder, holder.Until()
}

func (w *witness) goesOn(holder *Mutex) {
	w.Lock()
	defer w.Unlock()
	if w.holder == holder {
		w.until = holder.Until()
	}
}

func (w *witness) misses() {
	w.Lock()
	defer w.Unlock()
	w.gone++
	fmt.Println("GONE BEFORE ITS TIME")
}

func (w *witness) ends(holder *Mutex) {
	w.Lock()
	defer w.Unlock()
	if w.holder == holder {
		w.holder = nil
	}
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: lock SERVICE REPLICAS HOST:PORT [HOST:PORT...]")
		os.Exit(1)
	}
	if err := contend(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func contend(service, count string, sentinels []string) error {
	replicas, err := strconv.ParseUint(count, 10, 32)
	if err != nil {
		return fmt.Errorf("REPLICAS: %w", err)
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	db, err := sentinel.Open("", sentinel.WithSentinels(sentinels...))
	if err != nil {
		return err
	}
	defer db.Close()
	client, err := db.Primary(service)
	if err != nil {
		return err
	}
	var seen witness
	var contenders sync.WaitGroup
	for i := 0; i < 4; i++ {
		mutex, err := NewMutex(client, "example:lock", ttl, uint32(replicas))
		if err != nil {
			return err
		}
		contenders.Add(1)
		go func() {
			defer contenders.Done()
			for mutex.Lock(stop, func(err error) { fmt.Println("not had:", err) }) == nil {
				seen.begins(mutex)
				hold(stop, mutex, &seen)
				seen.ends(mutex)
				if err := mutex.Unlock(); err != nil {
					fmt.Println("not given back:", err)
				}
			}
		}()
	}
	contenders.Wait()
	fmt.Printf("summary held=%d twice=%d gone=%d\n", seen.had, seen.twice, seen.gone)
	if seen.twice+seen.gone > 0 {
		return fmt.Errorf("two had the lock at once %d times, it was gone before its time %d times", seen.twice, seen.gone)
	}
	return nil
}

// hold is the work: for its time, or until the lock cannot be kept.
func hold(stop context.Context, mutex *Mutex, seen *witness) {
	over := time.NewTimer(work)
	defer over.Stop()
	again := time.NewTicker(ttl / 6)
	defer again.Stop()
	for {
		lost := time.NewTimer(time.Until(mutex.Until()))
		select {
		case <-over.C:
		case <-lost.C:
			fmt.Println("not kept")
		case <-stop.Done():
		case <-again.C:
			lost.Stop()
			kept, err := mutex.Extend(stop)
			switch {
			case err != nil && stop.Err() == nil:
				fmt.Println("not extended:", err)
			case err == nil && !kept && time.Now().Before(mutex.Until()):
				seen.misses()
				return
			}
			seen.goesOn(mutex)
			continue
		}
		lost.Stop()
		return
	}
}
