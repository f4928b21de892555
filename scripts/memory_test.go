package scripts

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func memoryLibraries(t *testing.T) string {
	t.Helper()
	return "app=a port=8081 ports='8080 8081' EX_CHECK=64 EX_MEMORY=89 EX_DIED=74\n" + read(t, "lib/base.sh") +
		read(t, "lib/process.sh") +
		read(t, "lib/memory.sh") + read(t, "lib/files.sh") +
		"flags=$(mktemp -d) path=$(mktemp -d)\nmkdir \"$path/slots\"\n"
}

// A version that is proved is no longer what the kernel ends first; who lets it start is this very
// user, without any rights.
func TestAProvedVersionIsAsAnyOther(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "echo 1000 >/proc/self/oom_score_adj; echo up; exec cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	if _, err := out.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	score := func() string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	if score() != "1000" {
		t.Fatalf("its score is %s before", score())
	}
	stubs := memoryLibraries(t) + fmt.Sprintf("has_systemd() { false; }\nmembers() { pids=(%d); }\n", cmd.Process.Pid)
	bash(t, stubs+"protect 8081") // not on trial: what somebody else has set is left alone
	if score() != "1000" {
		t.Errorf("its score is %s, and nobody put it on trial", score())
	}
	left := bash(t, stubs+"on_trial 8081\n[[ -s $path/slots/8081.trial ]]\nprotect 8081\nls \"$path/slots\"")
	if score() != "0" || left != "" {
		t.Errorf("its score is %s, and left is %q", score(), left)
	}
}

// Whose fault it is that a version went down is only said where it is known.
func TestWhoEndedTheVersion(t *testing.T) {
	for _, tt := range []struct {
		name, show string // what systemd says
		kills      int    // of the kernel's, since the start
		want       string
	}{
		{
			"the kernel, by systemd", "Result=oom-kill\nExecMainCode=2\nExecMainStatus=9", 1,
			"free when it was started; the host has 700 MB of memory and no swap, and the version that serves takes " +
				"380 MB",
		},
		{
			"the kernel, by the signal", "Result=signal\nExecMainCode=2\nExecMainStatus=9", 1,
			"for want of memory: 310 MB were free",
		},
		{
			"the kernel, by what a shell says", "Result=exit-code\nExecMainCode=1\nExecMainStatus=137", 2,
			"for want of memory",
		},
		{
			"its own limit", "Result=oom-kill\nExecMainCode=2\nExecMainStatus=9\nMemoryMax=419430400", 1,
			"may have no more than 400 MB (MemoryMax of a@8081.service)",
		},
		{"somebody's kill", "Result=signal\nExecMainCode=2\nExecMainStatus=9", 0, "else"},
		{"itself, while something else was ended", "Result=exit-code\nExecMainCode=1\nExecMainStatus=3", 1, "else"},
		{"itself, with 9 as its status", "Result=exit-code\nExecMainCode=1\nExecMainStatus=9", 1, "else"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := bash(t, memoryLibraries(t)+fmt.Sprintf(`
				oom_kills() { kills=5; }
				memory_mb() { case $1 in total) mb=700 ;; available) mb=310 ;; swap) mb=0 ;; esac; }
				resident_mb() { mb=380; }
				has_systemd() { true; }
				: >"$flags/8080"
				on_trial 8081
				oom_kills() { kills=%d; }
				systemctl() { case "$*" in *ControlGroup*) ;; *) cat ;; esac <<<'%s'; }
				set +e; (out_of_memory; echo else) 2>&1; echo "$?"`, 5+tt.kills, tt.show))
			code := "89"
			if tt.want == "else" {
				code = "0"
			}
			if !strings.Contains(out, tt.want) || !strings.HasSuffix(out, code+"\n") {
				t.Errorf("it says\n%s\nwant %q and code %s", out, tt.want, code)
			}
		})
	}
}

// A host with little memory in a container has what the container may take.
func TestMemoryIsWhatTheHostMayHave(t *testing.T) {
	out := bash(t, memoryLibraries(t)+`
		meminfo() { case $1 in MemTotal) kb=16000000 ;; MemAvailable) kb=9000000 ;; SwapTotal) kb=0 ;; esac; }
		memory_limits() { limits=('734003200 524288000 104857600' '1073741824 524288000 0'); }
		say() { local what; for what; do memory_mb "$what"; printf '%s ' "$mb"; done; echo; }
		say total available swap
		memory_limits() { :; }
		say total available`)
	if out != "700 300 0 \n15625 8789 \n" {
		t.Errorf("it says %q", out)
	}
}

// Swap is made once, where there is none, and a file that can't be used does not stay.
func TestASwapFile(t *testing.T) {
	for _, tt := range []struct{ name, otherwise, want, left string }{
		{"none yet", "", "swap of 64 MB is in ", "swap none swap sw 0 0\n67108864 600\n"},
		{
			"no room", "disk() { kb=500000; }", "needs as much disk and 512 MB to spare, and 488 MB are free",
			"gone\n",
		},
		{
			"it can't be switched on", "swapon() { echo 'swapon failed: Operation not permitted'; return 1; }",
			"no swap could be made (swapon failed: Operation not permitted): take the input swap out", "gone\n",
		},
		{
			"no mkswap", "mkswap() { echo 'mkswap: not today' >&2; return 1; }",
			"no swap could be made (mkswap: not today)", "gone\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := bash(t, memoryLibraries(t)+"swap=64\n"+read(t, "lib/swap.sh")+`
				as_root() { if [[ $1 == install ]]; then mkdir -p -- "${*: -1}"; else "$@"; fi; }
				mkswap() { :; }
				swapon() { :; }
				disk() { kb=9000000; }
				swap_file=$path/swap fstab=$path/fstab
				echo 'UUID=1 / ext4 defaults 0 1' >"$fstab"
				`+tt.otherwise+`
				set +e; (set -e; make_swap "$swap_file"; make_swap "$swap_file") 2>&1
				grep -o 'swap none.*' "$fstab"
				if [[ -e $swap_file ]]; then stat -c '%s %a' "$swap_file"; else echo gone; fi
				grep -q '^UUID=1 / ext4' "$fstab" || echo 'the table of file systems is lost'`)
			if !strings.Contains(out, tt.want) || !strings.HasSuffix(out, tt.left) {
				t.Errorf("it says\n%s\nwant %q, left %q", out, tt.want, tt.left)
			}
		})
	}
}

// With the kernel's own mkswap(8) and swapon(8), where this machine lets a test have them.
func TestASwapFileIsUsed(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can switch swap on")
	}
	out := bash(t, memoryLibraries(t)+"swap=64\n"+read(t, "lib/swap.sh")+`
		swap_file=$path/swap fstab=$path/fstab
		echo 'UUID=1 / ext4 defaults 0 1' >"$fstab"
		trap 'swapoff "$swap_file" 2>/dev/null || :' EXIT
		if (($(wc -l </proc/swaps) < 2)); then lacks_swap; fi
		make_swap "$swap_file" 2>&1
		! lacks_swap
		awk -v file="$swap_file" '$1 == file { print $2, $3 }' /proc/swaps
		cat "$fstab"`)
	if strings.Contains(out, "take the input swap out") {
		t.Skip(out)
	}
	if !strings.Contains(out, "\nfile 65532\nUUID=1 / ext4 defaults 0 1\n") ||
		!strings.HasSuffix(out, "/swap none swap sw 0 0\n") {
		t.Errorf("it says\n%s", out)
	}
}
