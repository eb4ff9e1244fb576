// Prints keda_cron.txt anew: `go run keda_cron.go <keda_cron.txt`, in a module that requires
// github.com/robfig/cron/v3 v3.0.1, the version of KEDA 2.21.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// isActive is the rule of GetMetricsAndActivity in KEDA's pkg/scalers/cron_scaler.go.
func isActive(start, end cron.Schedule, now time.Time) bool {
	nextStart, nextEnd := start.Next(now), end.Next(now)
	if nextStart.Before(nextEnd) {
		return now.After(nextStart) && now.Before(nextEnd)
	}
	return now.After(nextStart) || now.Before(nextEnd)
}

func main() {
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "|")
		zone, err := time.LoadLocation(fields[0])
		check(err)
		start, err := parser.Parse(fields[1])
		check(err)
		end, err := parser.Parse(fields[2])
		check(err)
		now, err := time.Parse(time.DateOnly, fields[3])
		check(err)
		last, err := time.Parse(time.DateOnly, fields[4])
		check(err)
		was := isActive(start, end, now.Add(30*time.Second).In(zone))
		var changes []string
		for now = now.Add(time.Minute); now.Before(last); now = now.Add(time.Minute) {
			is := isActive(start, end, now.Add(30*time.Second).In(zone))
			if is != was {
				what := map[bool]string{true: "from ", false: "to "}[is]
				changes = append(changes, what+now.Format("01-02T15:04"))
			}
			was = is
		}
		fmt.Println(strings.Join(append(fields[:5], strings.Join(changes, ", ")), "|"))
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
