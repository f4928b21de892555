package deploy

import (
	"context"
	"fmt"
	"strings"

	"github.com/clothesme/deploy-action/scripts"
)

// logs shows the last lines of logs, those of the slot that serves and of nginx's site, in the log
// of the run. It takes no lock: a deployment may go on meanwhile.
func (as *asking) logs(ctx context.Context, h *target) (string, error) {
	wanted := as.in.Logs
	values := scripts.Values{
		"port": h.activePort(), "nginx_include": as.in.NginxInclude, "server_name": as.in.ServerName,
		"of": strings.Join(wanted.Of, " "), "lines": fmt.Sprint(wanted.Lines), "since": "", "ago": "",
		"filter": wanted.Filter, "filter_kind": "", "step_id": "",
	}
	switch {
	case wanted.Regex:
		values["filter_kind"] = "regex"
	case wanted.Filter != "":
		values["filter_kind"] = "text"
	}
	if wanted.Ago > 0 {
		values["ago"] = scripts.Seconds(wanted.Ago)
	}
	if !wanted.At.IsZero() {
		values["since"] = fmt.Sprint(wanted.At.Unix())
	}
	res, err := h.Exec(ctx, scripts.Logs, values)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d line(s)", res.Int("shown")), res.Err()
}
