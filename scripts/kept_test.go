package scripts

import (
	"fmt"
	"strings"
	"testing"
)

// siteShell is site.sh and what it takes, on files below root. die_at N has the Nth thing that is done
// as root be the last of a run in parentheses.
func siteShell(t *testing.T, root string) string {
	t.Helper()
	moved := strings.NewReplacer("/var/lib/deploy-action", root+"/lib", "/etc/nginx", root+"/nginx")
	text := fmt.Sprintf("app=shop path=%[1]s/app release=20261123T101500Z-1a2b3c4 EX_NGINX=77 EX_CHECK=64 trial= late=x\n"+
		"default_site=no entry_file=%[1]s/nginx/entry entry=x nginx_include=%[1]s/nginx/url.inc include=x\n"+
		"site_file=%[1]s/nginx/conf.d/shop.conf site=''\n", root)
	files := []string{"lib/base.sh", "lib/files.sh", "lib/site.sh", "lib/kept.sh", "site.sh", "lib/inspect.sh"}
	for _, file := range files {
		text += functions(moved.Replace(read(t, file)))
	}
	return text + `
include="y $flags/"
sync() { :; }
stop=0
die_at() { stop=$1 done=0 victim=$BASHPID; }
as_root() {
  done=$((done + 1))
  if ((done == stop)); then
    kill -KILL "$victim"
    exit 9
  fi
  "$@"
}
keep=` + root + `/lib/shop/nginx/$release
fresh() {
  rm -rf ` + root + `/{lib,nginx,app}
  mkdir -p ` + root + `/lib/shop ` + root + `/nginx/{conf.d,shop.d} ` + root + `/app/slots
  printf 'old\n' | tee "$site_file" >"$site_written"
  printf 'x %s/\n' "$flags" | tee "$nginx_include" >"$entry_file"
}
put() { # as site.sh does
  site=$1
  look_at_site
  put_in_place
}
ours() { # whichever site is to be written next
  for site in old new third; do
    edited=''
    look_at_site
    [[ $edited == no ]] || die 1 "$* $stop: $(<"$site_file") is taken for edited"
  done
}
`
}

// Whenever a run is cut off while it writes the site, or takes it back, the next one knows its own
// file, and goes on from it; and it knows one that somebody has edited.
func TestACutOffWriteOfTheSiteIsNoEdit(t *testing.T) {
	out := bash(t, siteShell(t, t.TempDir())+`
for ((n = 1, over = 0; !over; n++)); do
  over=1 what=''
  for what in 'written' 'written twice' 'taken back' 'written and taken back'; do
    fresh
    if [[ $what == 'taken back' ]]; then (die_at 0; put new); fi
    if [[ $what == written* ]]; then
      (die_at "$n"; put new) || over=0
      stop=$n ours "$what"
    fi
    if [[ $what == *twice ]]; then
      (die_at "$n"; release+=2 keep+=2; put third) || over=0
      stop=$n ours "$what"
    fi
    if [[ $what == *back ]]; then
      (die_at "$n"; put_back "$keep") || over=0
      stop=$n ours "$what"
      if [[ $what != written* || -d $keep ]]; then
        (die_at 0; put_back "$keep")
        [[ $(<"$site_file")$(<"$site_written") == oldold ]] || die 1 "$what $n: not as it was"
      fi
    fi
    cp -a -- "$site_file" "$site_file.was"
    (die_at 0; put third)
    [[ $(<"$site_file") == third && $(<"$site_written") == third ]] || die 1 "$what $n: third is not in place"
    [[ ! -e $site_written.next && ! -e $site_written.back ]] || die 1 "$what $n: one is left"
    mv -- "$site_file.was" "$site_file"
    printf 'by hand\n' >>"$site_file"
    (site=new; look_at_site) 2>/dev/null && die 1 "$what $n: an edit is not noticed"
  done
done
echo "cut off at $n places"`)
	if !strings.HasPrefix(out, "cut off at ") || len(out) < len("cut off at 10 places") {
		t.Error(out)
	}
}

// A trial is told from the moment on from which anything is in its place, with the whole of what was
// there; and not once something else was kept.
func TestASiteOnTrialIsTold(t *testing.T) {
	out := bash(t, siteShell(t, t.TempDir())+`
trial='8081 20261123T101500Z-1a2b3c4'
told() { site_trial | sed 's/^site_trial=//'; }
for ((n = 1, over = 0; !over; n++)); do
  fresh
  over=1
  (die_at "$n"; put new) || over=0
  if [[ $(<"$site_file")$(<"$nginx_include") != oldx* ]]; then
    [[ $(told) == "$trial $release" ]] || die 1 "$n: told is $(told)"
  fi
  (die_at 0; put new) # the step again
  [[ $(told) == "$trial $release" ]] || die 1 "$n, again: told is $(told)"
  (die_at 0; put_back "$keep")
  [[ $(<"$site_file") == old && $(<"$nginx_include") == "x $flags/" ]] || die 1 "$n: not as it was"
  [[ -z $(told) ]] || die 1 "$n: told is $(told)"
done
(die_at 0; put new)
[[ -n $(told) ]] || die 1 "not told"
mkdir "$keep-https"
touch -d '+1 second' "$keep-https"
[[ -z $(told) ]] || die 1 "told is $(told), and something else was kept since"
for note in ../../x "$trial ../../etc" "8081 a b c" ''; do
  printf '%s\n' "$note" >"$trial_note"
  [[ -z $(told) ]] || die 1 "told is $(told)"
done
echo right`)
	if out != "right\n" {
		t.Error(out)
	}
}

// A refusal of the site of before leaves all as it is, for the next run to try again; and one that
// somebody has edited stays.
func TestASiteThatIsRefusedDoesNotComeBack(t *testing.T) {
	restore := functions(read(t, "restore.sh"))
	root := t.TempDir()
	out := bash(t, siteShell(t, root)+strings.ReplaceAll(restore, "/var/lib/deploy-action", root+"/lib")+`
trial='8081 20261123T101500Z-1a2b3c4'
own_lock() { :; }
free_root() { :; }
nginx_test() { [[ $(<"$site_file") != "$refused" ]]; }
nginx_reload() { loaded=$(<"$site_file"); printf 'loaded %s\n' "$loaded"; }
fresh
(die_at 0; put new)
refused=old
(die_at 0; main) 2>&1 || echo "exit $?"
cat "$site_file" "$site_written"
site_trial
refused=''
(die_at 0; main) 2>&1
cat "$site_file" "$site_written"
site_trial
(die_at 0; main)
ls -A "${keep%/*}"
fresh
(die_at 0; put new)
printf 'by hand\n' >>"$site_file"
(die_at 0; main) 2>&1 || echo "exit $?"
cat "$site_file"
site_trial`)
	want := "nginx refuses its configuration with the site of before in it; the files are as they were\nexit 77\n" +
		"new\nnew\nsite_trial=8081 20261123T101500Z-1a2b3c4 20261123T101500Z-1a2b3c4\n" +
		"loaded old\nrestored=yes\nold\nold\nsite_trial=\nrestored=already\n" +
		root + "/nginx/conf.d/shop.conf was edited since this action wrote it, so the nginx site of before does not come " +
		"back\nexit 64\nnew\nby hand\nsite_trial=\n"
	if strings.TrimLeft(out, "\n") != want {
		t.Errorf("it says\n%s\nwant\n%s", out, want)
	}
}

// What earlier runs have kept is not there for ever: only the link of the welcome page, which comes
// back when the application is removed.
func TestWhatEarlierRunsHaveKeptGoes(t *testing.T) {
	out := bash(t, siteShell(t, t.TempDir())+`
trial='8081 20261123T101500Z-1a2b3c4'
for ((n = 1, over = 0; !over; n++)); do
  fresh
  mkdir -p "${keep%/*}"/{first,second,second.now,removed.new}
  ln -s nowhere "${keep%/*}/first/:etc:nginx:sites-enabled:default"
  over=1
  (die_at "$n"; put new) || over=0
  (die_at 0; put new)
  (die_at 0; put_back "$keep")
  [[ $(<"$site_file") == old ]] || die 1 "$n: not as it was"
  [[ $(ls -A "${keep%/*}") == first ]] || die 1 "$n: left is" "${keep%/*}"/*
done
echo right`)
	if out != "right\n" {
		t.Error(out)
	}
}

// Whenever a run is cut off nginx can load what lies on the disk, as at the next boot: a site includes
// nothing that is not there, a server block of the user's names no group that is not, and in a folder
// of which nginx reads all there is nothing else.
func TestNginxCanLoadWhatACutOffRunLeaves(t *testing.T) {
	out := bash(t, siteShell(t, t.TempDir())+`
written_by_us() { :; }
loads() {
  local file
  for file in "${site_file%/*}"/*; do [[ ! -e $file || $file == "$site_file" ]] || die 1 "$*: nginx reads $file"; done
  if [[ $site_file == *.upstreams.conf ]]; then
    [[ -e $site_file ]] || ! grep -qs "$flags/" "$nginx_include" || die 1 "$*: the groups are missing"
  else
    [[ ! -e $site_file || -e $nginx_include ]] || die 1 "$*: the include is missing"
  fi
}
folder=${site_file%/*} nginx_include=${nginx_include%/*}/a.inc
for site_file in "$folder"/shop.{,upstreams.}conf; do
  for ((n = 1, over = 0; !over; n++)); do
    fresh
    rm -- "$folder/shop.conf" "$site_written" "$nginx_include" 2>/dev/null || :
    if [[ $site_file == *.upstreams.conf ]]; then
      rm -f -- "$site_file"
      echo theirs >"$nginx_include"
    fi
    over=1
    (die_at "$n"; put new) || over=0
    loads "$site_file, written, $n"
    (die_at 0; put new)
    gone=${keep%/*}/removed
    die_at 0
    begin_keeping "$gone"
    for file in "$site_file" "$nginx_include"; do set_aside "$gone" "$file"; done
    end_keeping "$gone"
    (die_at "$n"; put_back "$keep") || over=0
    loads "$site_file, taken back, $n"
    (die_at 0; put_back "$keep")
    rm -f -- "$site_file" "$nginx_include"
    (die_at "$n"; put_back "$gone") || over=0
    loads "$site_file, not removed, $n"
  done
done
echo right`)
	if out != "right\n" {
		t.Error(out)
	}
}
