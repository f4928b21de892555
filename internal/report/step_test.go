package report

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

func TestASilentStepShowsThatItIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := New(&log, func(string) string { return "" })
		step := r.Step("Building the release")
		time.Sleep(50 * time.Second)
		r.Info("a word at 50s")
		time.Sleep(41 * time.Second) // at 60s it had just spoken, at 90s it is silent
		synctest.Wait()
		step.Done("build: done")
		time.Sleep(5 * time.Minute)
		want := "::group::Building the release\n… still building the release (30.0s)\na word at 50s\n… still " +
			"building the release (1m30s)\n" +
			"::endgroup::\n✓ build: done (1m31s)\n"
		if log.String() != want {
			t.Errorf("log:\n%s\nwant:\n%s", log.String(), want)
		}
	})
}
