#!/usr/bin/env bash
# What fetch.sh does with one repository, the release's own or a submodule's: `url`; `mirror` is its
# bare copy on the host, shallow and kept, so that the next fetch is sent only what is new.
#
# Values: path, git_url, token

in_mirror() { git --git-dir="$mirror" "$@" </dev/null; }

# What the user has in ~/.gitconfig is meant for people: insteadOf leads elsewhere, or to SSH,
# without a key. What it takes to reach a server at all, such as a proxy, is kept.
network=()
while IFS= read -r -d '' entry; do
  network+=(-c "${entry%%$'\n'*}=${entry#*$'\n'}")
done < <(git config --global -z --get-regexp \
  '^http\.(.*\.)?(proxy|proxyauthmethod|sslcainfo|sslcapath|sslbackend)$' 2>/dev/null </dev/null || :)
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1

# online ARGUMENT...: git with the network. The token reaches git through a pipe that only its
# credential helper reads: it is on no argument list, in no environment, on no disk. Git asks that
# helper for git_url's own server and for no other, redirects included.
online() {
  # shellcheck disable=SC2016 # git's shell expands it
  local helper='!f() { test "$1" = get && cat <&9; }; f'
  if [[ -z $token ]]; then helper=''; fi
  GIT_TERMINAL_PROMPT=0 git --git-dir="$mirror" "${network[@]}" \
    -c credential.helper= -c "credential.$(server_of "$git_url").helper=$helper" \
    -c protocol.allow=never -c protocol.http.allow=always -c protocol.https.allow=always -c protocol.version=2 \
    -c http.lowSpeedLimit=1000 -c http.lowSpeedTime=60 -c gc.auto=0 -c fetch.unpackLimit=1 "$@" \
    </dev/null 9< <(printf 'username=x-access-token\npassword=%s\n' "$token")
}

# server_of URL: scheme, host and port.
server_of() { [[ $1 =~ ^(https?://[^/@]+)/ ]] && printf '%s' "${BASH_REMATCH[1]}"; }

# ready: has a mirror. What git holds back others by nobody needs any more who had it when the host
# went down.
ready() {
  local left
  for left in "$mirror"/*.lock "$mirror"/refs/deploy/*.lock; do
    if [[ -e $left ]]; then rm -f -- "$left"; fi
  done
  if [[ ! -e $mirror/HEAD ]]; then
    rm -rf -- "$mirror" "$mirror.partial"
    mkdir -p -- "${mirror%/*}"
    git init -q --bare --template= -- "$mirror.partial"
    mv -T -- "$mirror.partial" "$mirror"
  fi
}

# damaged: makes a new mirror in the place of one that git can't use; fails when it is sound.
damaged() {
  if in_mirror fsck --connectivity-only --no-dangling >/dev/null 2>&1; then return 1; fi
  say "the mirror on this host is damaged; everything is fetched anew"
  rm -rf -- "$mirror"
  ready
}

download() { online fetch --depth=1 --no-tags --no-write-commit-graph --quiet -- "$url" "$1" >&2; }

# bring COMMIT: has it in the mirror, and keeps it there: without a ref the next fetch could not
# tell the server what is here already.
bring() {
  in_mirror cat-file -e "$1^{commit}" 2>/dev/null || download "$1" || { damaged && download "$1"; } || return
  in_mirror update-ref "refs/deploy/$1" "$1"
}

# checkout COMMIT FOLDER: its files, those of git-lfs too, without a repository.
checkout() {
  local lfs count=0 modules smudge=(-c filter.lfs.smudge= -c filter.lfs.process= -c filter.lfs.required=false)
  export GIT_INDEX_FILE=$mirror/deploy.index
  in_mirror read-tree "$1" # it takes the place of what is there
  # While files are written. Of all files bash would read byte by byte.
  exec {modules}< <(in_mirror ls-files --stage -z | grep -za '^160000 ')
  if [[ -n $(in_mirror ls-files -- ':(glob)**/.gitattributes') ]]; then
    count=$(in_mirror ls-files -z | git --git-dir="$mirror" check-attr --cached -z --stdin filter \
      | sed -zn '3~3p' | grep -cxz lfs || :)
  fi
  if ((count > 0)); then
    have git-lfs || die "$EX_FETCH" "$count file(s) of $url are kept in Git LFS, and the host has no git-lfs: sudo \
apt-get install -y git-lfs"
    lfs=${url%.git}.git/info/lfs
    online -c "remote.origin.url=$url" -c "lfs.url=$lfs" lfs fetch origin "$1" >&2 \
      || die "$EX_FETCH" "git-lfs could not fetch the files of ${1:0:7} from $lfs"
    in_mirror lfs ls-files --long "$1" | cut -d ' ' -f 1 >>"$objects"
    smudge=(-c 'filter.lfs.smudge=git-lfs smudge -- %f' -c 'filter.lfs.process=git-lfs filter-process'
      -c filter.lfs.required=true)
  fi
  in_mirror "${smudge[@]}" --work-tree="$2" -C "$2" checkout-index --all --quiet
  submodules "$1" "$2"
}

# submodules COMMIT FOLDER: each at the very commit that this one names, by its index.
submodules() {
  local entry
  while IFS= read -r -d '' -u "$modules" entry; do
    submodule "$1" "${entry#*$'\t'}" "${entry:7:40}" "$2/${entry#*$'\t'}"
  done
  exec {modules}<&-
}

# submodule COMMIT FOLDER ITS-COMMIT TARGET: what .gitmodules of a commit has in a folder.
submodule() {
  local name to url=$url mirror=$mirror
  name=$(in_mirror config -z --blob "$1:.gitmodules" --get-regexp '^submodule\..*\.path$' | folder=$2 awk -v RS='\0' \
    '{ n = index($0, "\n"); if (substr($0, n + 1) == ENVIRON["folder"]) print substr($0, 11, n - 16) }') || :
  [[ -n $name ]] || die "$EX_FETCH" "the submodule in $2 has no entry in .gitmodules"
  to=$(absolute "$(in_mirror config --blob "$1:.gitmodules" --get "submodule.$name.url")") \
    || die "$EX_FETCH" "the submodule in $2 has a URL that is neither http(s) nor on the repository's own server"
  url=$to name=$(sha256sum <<<"$to")
  mirror=$path/repo.git/modules/${name:0:16}
  ready
  bring "$3" || die "$EX_FETCH" "git could not fetch commit ${3:0:7} of the submodule in $2 from $url; if it is \
private, the input token must be able to read it"
  printf '%s\n' "$3" >>"$objects"
  checkout "$3" "$4"
}

# absolute URL: of a submodule, seen from $url. Over SSH the host has no key; on the server of
# git_url the same path answers over HTTP.
absolute() {
  local to=$1 base=${url%/} server
  server=$(server_of "$git_url")
  if [[ $to == ./* || $to == ../* ]]; then
    while [[ $to == ./* || $to == ../* ]]; do
      if [[ $to == ../* ]]; then base=${base%/*}; fi
      to=${to#*/}
    done
    to=$base/$to
  elif [[ $to =~ ^(ssh://)?[^/@:]+@([^/:]+)(:[0-9]+/|:|/)(.+)$ ]] \
    && [[ ${BASH_REMATCH[2]} == "$(sed 's,.*//,,; s,:[0-9]*$,,' <<<"$server")" ]]; then
    to=$server/${BASH_REMATCH[4]}
  fi
  [[ $to != *[[:cntrl:]]* ]] && server_of "$to" >/dev/null && printf '%s' "$to"
}
