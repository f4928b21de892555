package scripts

import (
	"cmp"
	"maps"
	"strings"
	"testing"
)

// A page that nginx does not see, or not at once: what visitors got before they get afterwards.
func TestThePageIsSeenOrWhatWasComesBack(t *testing.T) {
	const refused = "so visitors would go on as before: let its workers read that folder; "
	for _, tt := range []struct {
		name   string
		before string // what makes the page of before
		values Values
		sees   string // at which look nginx does
		code   int
		says   string
		page   string // afterwards, and since when it is there
		guests string // who gets in afterwards, if others are to
	}{
		{name: "the first", sees: "1", says: "changed=yes", page: "new, now"},
		{name: "the first, and nginx is busy", sees: "3", says: "changed=yes", page: "new, now"},
		{name: "another one", before: "echo old >page", sees: "1", says: "changed=yes", page: "new, now"},
		{
			name: "another one, and nginx is busy", before: "echo old >page", sees: "3", says: "changed=yes",
			page: "new, now",
		},
		{name: "the same", before: "echo new >page", sees: "9", says: "changed=no", page: "new, before"},
		{name: "nginx does not see the first", sees: "9", code: ExitNotRouted, says: refused + "the page is gone again"},
		{
			name: "nginx does not see another one", before: "echo old >page", sees: "9", code: ExitNotRouted,
			says: refused + "the page of before is there again", page: "old, before",
		},
		{
			name: "the first, and a run was cut off", before: "echo older >page.before", sees: "9", code: ExitNotRouted,
			says: refused + "the page is gone again",
		},
		{
			name: "another one, and others get in", before: "echo old >page",
			values: Values{"entry": "staff", "entry_id": "staff"}, sees: "3", says: "changed=yes", page: "new, now",
			guests: "staff",
		},
		{
			name: "nginx does not see another one, and others were to get in", before: "echo old >page",
			values: Values{"entry": "staff", "entry_id": "staff"}, sees: "9", code: ExitNotRouted,
			says: refused + "the page of before is there again", page: "old, before", guests: "all",
		},
		{
			name: "the end, when a run was cut off", before: "echo old >page; echo older >page.before",
			values: Values{"door": "open"}, says: "changed=yes",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			bash(t, "cd "+quote(dir)+"; echo t >.lock.holder; echo all >guests; "+tt.before+"\n"+
				"for file in page*; do [[ ! -e $file ]] || touch -d 2020-01-01 $file; done")
			values := Values{
				"app": "shop", "path": dir, "lock_token": "t", "step_id": "", "undo": "no", "ports": "8080 8081",
				"door": "closed", "page": "", "plain_page": "new", "active": "8080", "entry_file": dir + "/guests",
				"entry": "all", "entry_id": "all", "verify_host": "shop.example",
			}
			maps.Copy(values, tt.values)
			// The first look is that of the site.
			out, code := runWith(t, Maintenance, values, "sees="+tt.sees+`
flags=$path closed_by=$path/page looks=-1
routed() {
  chosen=http://shop_8080 terms=$(<"$entry_file") closed=open looks=$((looks + 1))
  if ((looks >= ${sees:-9})); then closed=closed; fi
}
free_root() { :; }
write_root() { cat >"$1"; }
nginx_test() { :; }
nginx_reload() { :; }
past() { ((looks > 5)); }
pause() { :; }
`)
			if code != tt.code || !strings.Contains(out, tt.says) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, tt.code, tt.says, out)
			}
			got := bash(t, "cd "+quote(dir)+`; for file in page*; do
				[[ ! -e $file ]] || printf '%s, %s' "$(<$file)" $([[ $(date -r $file +%Y) == 2020 ]] && echo before || echo now)
			done`)
			if guests := bash(t, "cat "+quote(dir+"/guests")); guests != cmp.Or(tt.guests, "all")+"\n" {
				t.Errorf("%q get in", guests)
			}
			if got != tt.page {
				t.Errorf("visitors get %q, want %q", got, tt.page)
			}
		})
	}
}
