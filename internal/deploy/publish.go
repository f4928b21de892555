package deploy

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/report"
)

// Publish sets the action's outputs, one value each for the first host and the whole fleet in hosts, and writes the summary.
func Publish(rep *report.Report, r *Result, cause error) error {
	var first HostResult
	if len(r.Hosts) > 0 {
		first = r.Hosts[0]
	}
	hosts, err := json.Marshal(append([]HostResult{}, r.Hosts...))
	if err != nil {
		return fmt.Errorf("encode hosts: %w", err)
	}
	at := ""
	if first.SwitchedAt != nil {
		at = first.SwitchedAt.Format(time.RFC3339)
	}
	for _, output := range [][2]string{
		{"outcome", string(r.Outcome)},
		{"active-port", portText(first.ActivePort)},
		{"previous-port", portText(first.PreviousPort)},
		{"release", first.Release},
		{"previous-release", first.PreviousRelease},
		{"duration", r.Duration.Round(time.Millisecond).String()},
		{"switched-at", at},
		{"hosts", string(hosts)},
	} {
		if err := rep.Output(output[0], output[1]); err != nil {
			return err
		}
	}
	return rep.Summary(summary(r, cause))
}

func portText(port uint16) string {
	if port == 0 {
		return ""
	}
	return fmt.Sprint(port)
}

func summary(r *Result, cause error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### Deployment: %s\n\n", r.Outcome)
	if len(r.Hosts) > 0 {
		b.WriteString("| host | release | active port | live after | of which its own boot | drained after | outcome |\n|---|---|---|---|---|---|---|\n")
		for _, h := range r.Hosts {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", report.MarkdownCode(h.Host), report.MarkdownCode(h.Release), portText(h.ActivePort),
				tookText(h.Live), tookText(h.Boot), tookText(h.Drained), h.Outcome)
		}
	}
	b.WriteString(r.Details)
	if cause != nil {
		b.WriteString("\n" + report.MarkdownBlock(cause.Error()) + "\n")
	}
	return b.String()
}

func tookText(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return report.Elapsed(time.Duration(ms) * time.Millisecond)
}
