//go:build ignore

// The part that the programs for each library share; run.sh copies it beside them.
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	goroutines, err := strconv.Atoi(os.Args[1])
	must(err)
	seconds, err := strconv.ParseFloat(os.Args[2], 64)
	must(err)
	get := open(os.Getenv("SERVICE"), strings.Split(os.Getenv("SENTINELS"), ","))
	crowd(goroutines, time.Duration(seconds*float64(time.Second)), get)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// crowd lets each goroutine do one GET after the other, and prints: operations a second, p50 and p99 in microseconds,
// processor microseconds an operation, the threads of the process.
func crowd(goroutines int, length time.Duration, get func() error) {
	must(get())
	var stop atomic.Bool
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	took := make([][]int32, goroutines)
	ready.Add(goroutines)
	done.Add(goroutines)
	for i := 0; i < goroutines; i++ {
		go func(i int) {
			defer done.Done()
			ready.Done()
			<-start
			for !stop.Load() {
				before := time.Now()
				must(get())
				took[i] = append(took[i], int32(time.Since(before).Microseconds()))
			}
		}(i)
	}
	ready.Wait()
	cpu, began := processor(), time.Now()
	close(start)
	time.Sleep(length)
	threads := threads()
	stop.Store(true)
	done.Wait()
	elapsed, used := time.Since(began), processor()-cpu
	var all []int32
	for _, some := range took {
		all = append(all, some...)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	fmt.Printf("%.0f %d %d %.2f %d\n", float64(len(all))/elapsed.Seconds(), all[len(all)/2], all[len(all)*99/100],
		float64(used.Microseconds())/float64(len(all)), threads)
}

func processor() time.Duration {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func threads() int {
	entries, err := os.ReadDir("/proc/self/task")
	must(err)
	return len(entries)
}
