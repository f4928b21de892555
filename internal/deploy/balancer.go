package deploy

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud/targets"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

// askAsBalancer asks the site for what the load balancer asks for, as that does: with an address in the
// place of a name. What answers that need not be what answers visitors, and as long as it is wrong all
// targets are unhealthy: nobody can tell then whether a release is what the load balancer likes, which
// sends visitors to all of them.
func (tr *traffic) askAsBalancer(ctx context.Context, h *target) (string, error) {
	var lines []string
	for _, t := range tr.questioned(h) {
		q, address := t.Asked, tr.addressOf(t, h)
		if strings.Contains(address, ":") {
			address = "[" + address + "]"
		}
		values := tr.asking.askValues(h, false)
		values["balancer"] = fmt.Sprintf("%s %s %d %d %s", q.Scheme, address, q.Port,
			int(min(q.Patience, mostPatience).Seconds()), q.Path)
		res, err := h.Exec(ctx, scripts.Ask, values)
		if err != nil {
			return "", err
		}
		got, named := readReply(res.Text("got")), readReply(res.Text("named"))
		if err := res.Err(); err != nil {
			return "", err
		}
		lines = append(lines, fmt.Sprintf("GET %s for %s: %s", q.Path, t.Group, got.said))
		if q.Likes(got.status) || got.status == 0 && q.Patience > mostPatience {
			continue
		}
		remedy := fmt.Sprintf("Asked by the name %s it is %s: set the group's health check to what the application answers",
			tr.site.verifyHost(), named.said)
		if q.Likes(named.status) {
			remedy = fmt.Sprintf("Asked by the name %s it is %s, so another server block of nginx answers what has no name of "+
				"its own: have that one answer the path, too, or take it away (Debian's is /etc/nginx/sites-enabled/default)",
				tr.site.verifyHost(), named.said)
		}
		tr.warnOnce(h, "Health check of "+h.Address.Name, fmt.Sprintf("target group %s asks %s for GET %s at port %d, with "+
			"its private address in the place of a name, and wants status %s; what it gets is %s. %s. While this is so the "+
			"load balancer finds that no release is healthy there", t.Group, h.Address.Name, q.Path, q.Port, q.Wanted,
			got.said, remedy))
	}
	return strings.Join(lines, "; "), nil
}

// mostPatience is for how long an answer is waited for, however long the load balancer would.
const mostPatience = 20 * time.Second

// nothingAsked: where nothing is deployed yet nothing answers right.
func (tr *traffic) nothingAsked(h *target) bool {
	return h.Active == nil || len(tr.questioned(h)) == 0
}

// questioned are the host's targets of which each is asked something else by HTTP.
func (tr *traffic) questioned(h *target) []targets.Target {
	var some []targets.Target
	for _, t := range h.registered {
		if t.Asked == nil || slices.Contains(unwatched, t.State) || tr.addressOf(t, h) == "" {
			continue
		}
		if !slices.ContainsFunc(some, func(other targets.Target) bool {
			return *other.Asked == *t.Asked && tr.addressOf(other, h) == tr.addressOf(t, h)
		}) {
			some = append(some, t)
		}
	}
	return some
}

// addressOf is where the load balancer reaches a target, as far as that is known.
func (tr *traffic) addressOf(t targets.Target, h *target) string {
	if _, err := netip.ParseAddr(t.ID); err == nil {
		return t.ID
	}
	return tr.roster.private[h.Address.Alias]
}

// reply is what came of a question.
type reply struct {
	status int    // 0 for none
	said   string // for people
}

var statusLine = regexp.MustCompile(`^HTTP/[0-9.]+ ([0-9]{3})( .*)?$`)

func readReply(line string) reply {
	found := statusLine.FindStringSubmatch(line)
	if found == nil {
		return reply{0, "no answer (" + line + ")"}
	}
	status, _ := strconv.Atoi(found[1])
	return reply{status, strings.TrimSpace(found[1] + found[2])}
}

// compareIdle says when the load balancer is less patient with the application than nginx: it gives up
// then, whatever nginx still waits for. That it can't be asked is no reason to fail.
func (tr *traffic) compareIdle(ctx context.Context, all []targets.Target) {
	if tr.joins {
		return // it was said
	}
	idles, err := tr.balancers.Idles(ctx, all)
	if err != nil {
		tr.rep.Info("the idle time-outs of the load balancers are not known, and not compared with the input " +
			"\"response-timeout\": " + outcome.Describe(err))
	}
	var sooner []string
	for _, idle := range idles {
		if idle.After < tr.in.ResponseTimeout {
			sooner = append(sooner, fmt.Sprintf("%s after %s", idle.Balancer, idle.After))
		}
	}
	if len(sooner) > 0 {
		tr.rep.Notice("Idle time-out", fmt.Sprintf("a load balancer gives up on an answer of which nothing has come (%s; "+
			"its attribute idle_timeout.timeout_seconds), while nginx waits for %s (the input \"response-timeout\"): where the "+
			"application takes that long visitors get 504, so raise the one, or lower the other", strings.Join(sooner, ", "),
			tr.in.ResponseTimeout))
	}
}

// tableOfTargets puts into the summary how the load balancer sees the hosts now: those that it sends
// nobody to stand first.
func (tr *traffic) tableOfTargets(ctx context.Context) {
	if tr.balancers == nil || tr.joins { // then it is of a part of them
		return
	}
	head, seen := []string{"host", "target", "group", "seen as"}, func(t targets.Target) targets.State { return t.State }
	if tr.changes() {
		now, err := tr.balancers.Of(ctx, tr.in.TargetGroups)
		head, seen = []string{"host", "target", "group", "before", "in the end"}, func(t targets.Target) targets.State {
			return stateIn(now, t)
		}
		if err != nil {
			tr.rep.Debug("targets: " + err.Error())
			seen = func(targets.Target) targets.State { return "not known" }
		}
	}
	var good, bad outcome.Grid
	for _, h := range slices.Concat(tr.hosts, tr.joined) {
		for _, t := range h.registered {
			state := seen(t)
			row := []string{h.Address.Name, fmt.Sprintf("%s:%d", t.ID, t.Port), t.Group, string(t.State)}
			if tr.changes() {
				row = append(row, string(state))
			}
			if state == targets.Healthy {
				good = append(good, row)
			} else {
				bad = append(bad, row)
			}
		}
	}
	rows := slices.Concat(bad, good)
	if len(rows) == 0 {
		return
	}
	more := ""
	if left := len(rows) - mostRows; left > 0 {
		more = fmt.Sprintf("\nand %d more, %d of them healthy\n", left, min(left, len(good)))
		rows = rows[:mostRows]
	}
	tr.tell(nil, "\n#### Targets of the load balancer\n\n"+append(outcome.Grid{head}, rows...).Markdown()+more)
}

// mostRows are as many targets as the summary has room for.
const mostRows = 50

// stateIn is how a target is seen by now. One that is not in its group any more is unused.
func stateIn(now []targets.Target, t targets.Target) targets.State {
	for _, other := range now {
		if other.Group == t.Group && other.ID == t.ID && other.Port == t.Port {
			return other.State
		}
	}
	return targets.Unused
}
