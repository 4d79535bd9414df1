// A queue of tasks that loses nothing and does nothing twice, whatever becomes of the primary: four producers, four workers.
//
//	queue SERVICE REPLICAS HOST:PORT [HOST:PORT...]
//
// REPLICAS is how many have to have what is acknowledged: all that the service has. On SIGINT or SIGTERM nothing more is enqueued;
// it ends when all is done, with a summary, and with an error when something that was acknowledged was lost or done twice.
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
	lease     = 5 * time.Second
	retention = time.Minute
	patience  = time.Second
)

// ledger is what producers and workers were told.
type ledger struct {
	sync.Mutex
	acknowledged map[string]bool
	executed     map[string]int
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: queue SERVICE REPLICAS HOST:PORT [HOST:PORT...]")
		os.Exit(1)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(service, count string, sentinels []string) error {
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
	queue := NewQueue(client, "example:queue", uint32(replicas), lease, retention)
	books := &ledger{acknowledged: map[string]bool{}, executed: map[string]int{}}

	var producers, workers sync.WaitGroup
	for i := 0; i < 4; i++ {
		producers.Add(1)
		go func(i int) {
			defer producers.Done()
			produce(stop, queue, books, i)
		}(i)
	}
	drained, finish := context.WithCancel(context.Background())
	defer finish()
	for i := 0; i < 4; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			consume(drained, queue, books)
		}()
	}
	producers.Wait()
	for left := int64(1); left > 0; {
		pause(drained, 50*time.Millisecond)
		persist("counted", func(ctx context.Context) (err error) {
			left, err = queue.Left(ctx)
			return err
		})
	}
	finish()
	workers.Wait()
	return books.close()
}

// persist does something that may be done again until it is acknowledged.
func persist(what string, do func(context.Context) error) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := do(ctx)
		cancel()
		if err == nil {
			return
		}
		fmt.Printf("not %s: %v\n", what, err)
	}
}

// pause is over early when the context is.
func pause(ctx context.Context, how time.Duration) {
	timer := time.NewTimer(how)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func produce(stop context.Context, queue *Queue, books *ledger, producer int) {
	for n := 0; stop.Err() == nil; n++ {
		task := Task{Name: fmt.Sprintf("%d-%d", producer, n), Payload: fmt.Sprint(n)}
		persist("enqueued", func(ctx context.Context) error { return queue.Enqueue(ctx, task) })
		books.Lock()
		books.acknowledged[task.Name] = true
		books.Unlock()
		pause(stop, 5*time.Millisecond)
	}
}

func consume(drained context.Context, queue *Queue, books *ledger) {
	for drained.Err() == nil {
		ctx, cancel := context.WithTimeout(drained, patience)
		task, found, err := queue.Dequeue(ctx)
		cancel()
		if err != nil || !found {
			if err != nil && drained.Err() == nil {
				fmt.Println("not dequeued:", err)
			}
			pause(drained, 20*time.Millisecond)
			continue
		}
		books.Lock()
		books.executed[task.Name]++
		if len(books.executed)%100 == 0 {
			fmt.Println("executed", len(books.executed))
		}
		books.Unlock()
		persist("done", func(ctx context.Context) error {
			inTime, err := queue.Done(ctx, task)
			if err == nil && !inTime {
				fmt.Println("too late:", task.Name)
			}
			return err
		})
	}
}

func (l *ledger) close() error {
	lost, twice := 0, 0
	for name := range l.acknowledged {
		if l.executed[name] == 0 {
			lost++
		}
	}
	for _, times := range l.executed {
		if times > 1 {
			twice++
		}
	}
	fmt.Printf("summary acknowledged=%d executed=%d lost=%d twice=%d\n", len(l.acknowledged), len(l.executed), lost, twice)
	if lost+twice > 0 {
		return fmt.Errorf("%d tasks were lost, %d were done twice", lost, twice)
	}
	return nil
}
