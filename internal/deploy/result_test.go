package deploy

import (
	"bytes"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/scripts"
)

// A version that was stopped although nobody could tell whether it was drained is not said to have
// been.
func TestClosingAfterAFailedDrain(t *testing.T) {
	f := newFakeHost(t)
	f.faults[scripts.Drain] = fault{kind: "error", code: 1, words: "ss: cannot open"}
	result, log, err := deployTo(t, f, testInputs())
	if err != nil || !strings.Contains(log, "Could not drain") {
		t.Fatalf("%v\n%s", err, log)
	}
	var end bytes.Buffer
	if err := outcome.Publish(report.New(&end, func(string) string { return "" }), result, nil); err != nil {
		t.Fatal(err)
	}
	const want = "was stopped; whether requests to it were still open is not known"
	if !strings.Contains(end.String(), want) || result.Hosts[0].Drained != 0 {
		t.Errorf("drained in %d ms:\n%s", result.Hosts[0].Drained, &end)
	}
}
