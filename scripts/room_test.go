package scripts

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// roomy is what make_room runs among: a disk of so many MB, on which each release takes 100, each
// venv 50, and others 20.
func roomy(t *testing.T, r *root, disk int) string {
	t.Helper()
	return "app=a ports='8080 8081' keep_releases=5 keep=20260105T000000Z-0000005 EX_CHECK=64 EX_DISK=80\n" +
		fmt.Sprintf("path=%q disk=%d\n", r.path, disk) +
		read(t, "lib/base.sh") + read(t, "lib/root.sh") + read(t, "lib/files.sh") + read(t, "lib/room.sh") + `
		in_use() { :; }
		sizes() { echo 'releases 500 MB'; }
		disk() { kb="$(((disk - 20 - 100 * $(ls "$path/releases" | wc -l) - 50 * $(ls "$path/venvs" | wc -l)) * 1024))"; }
		set +e; (set -e; make_room "$((NEED * 1024))" 'a new venv') 2>&1; echo "status $?"`
}

func TestRoomIsMadeInOrder(t *testing.T) {
	for _, tt := range []struct {
		name       string
		disk, need int // MB
		want       string
		left       []string
	}{
		{"there is room", 2000, 100, "status 0\n", []string{"1", "2", "3", "4", "5", "6"}},
		{
			"what never served goes", 940, 100, "270 MB are free now; releases 500 MB\nstatus 0",
			[]string{"1", "2", "3", "4", "5"},
		},
		{"and then what served longest ago", 900, 200, "kept=4\n", []string{"2", "3", "4", "5"}},
		{"but for two", 430, 100, "kept=2\n", []string{"4", "5"}},
		{"a guess that is not met is tried", 430, 200, "status 0", []string{"4", "5"}},
		{
			"next to nothing is left", 350, 200, "a new venv needs about 284 MB of disk, and 30 MB are free at",
			[]string{"4", "5"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoot(t)
			if err := os.RemoveAll(filepath.Join(r.path, "releases", ".keep")); err != nil {
				t.Fatal(err)
			}
			for n := 1; n <= 6; n++ {
				turn := fmt.Sprint(n)
				if n == 6 {
					turn = "-"
				}
				id := fmt.Sprintf("2026010%dT000000Z-000000%d", n, n)
				r.release(id, turn)
				venv := fmt.Sprintf("%016d", (n+1)/2) // two releases share one
				r.put("venvs/"+venv+"/.complete", "")
				r.link("releases/"+id+"/.venv", "../../venvs/"+venv)
			}
			out := bash(t, strings.ReplaceAll(roomy(t, r, tt.disk), "NEED", fmt.Sprint(tt.need)))
			if !strings.Contains(out, tt.want) {
				t.Errorf("it says\n%s\nwant %q", out, tt.want)
			}
			var want []string
			for _, n := range tt.left {
				want = append(want, "2026010"+n+"T000000Z-000000"+n)
			}
			r.has("releases", want...)
		})
	}
}

// What a build has left without write permission is deleted; what can't be is named, and ends
// nothing.
func TestWhatCannotBeDeletedIsNamed(t *testing.T) {
	dir := t.TempDir()
	out := bash(t, fmt.Sprintf("app=a path=%q EX_CHECK=64\n", dir)+read(t, "lib/base.sh")+read(t, "lib/root.sh")+
		read(t, "lib/files.sh")+`
		free_root() { false; }
		mkdir -p "$path/one/.go/x" "$path/two"; touch "$path/one/.go/x/y" "$path/two/theirs"; chmod a-w "$path/one/.go/x"
		tried=0
		rm() { # as for who is not root
			if [[ $* == *one && $((tried++)) == 0 || $* == *two ]]; then return 1; fi
			command rm "$@"
		}
		delete "$path/one"; delete "$path/two"; delete "$path/three"
		ls "$path"; echo "${stuck[*]}"`)
	if want := "two\n" + dir + "/two/theirs\n"; out != want {
		t.Errorf("it says %q, want %q", out, want)
	}
}

// The rules for logrotate are the user's own: it must not follow, as root, what the user has put
// there.
func TestLogsAreRotatedAsTheUser(t *testing.T) {
	out := bash(t, "app=a path=/srv/a\n"+read(t, "lib/base.sh")+read(t, "lib/rotate.sh")+
		"me=ada\nid() { echo ada; }\nrotation")
	for _, want := range []string{"/srv/a/logs/*.log {", "su ada ada", "copytruncate", "size 10M"} {
		if !strings.Contains(out, want) {
			t.Errorf("the rules lack %q:\n%s", want, out)
		}
	}
}
