#!/usr/bin/env bash
# Brings back the nginx files that site.sh replaced, and has nginx load them.
#
# Values: app, path, lock_token, release (as site.sh has it)
# Prints: restored (yes, already)
# Exits:  EX_CHECK when the rights do not suffice, or somebody has edited the site since, EX_NGINX when
#         nginx refuses; all is then as it was

main() {
  local keep=/var/lib/deploy-action/$app/nginx/$release words
  own_lock
  if [[ ! -d $keep ]]; then
    if noted "$release"; then gone "$trial_note"; fi
    result restored already
    return
  fi
  free_root \
    || die "$EX_CHECK" "$me has the rights for routine deployments only, and the nginx site of before has to be put" \
      "back: run this once while $me can run all commands as root"
  edited_since "$keep"
  if [[ ! -d $keep.now ]]; then keep_present "$keep"; fi # else that was begun before
  lay_back "$keep"
  if ! words=$(nginx_test 2>&1); then
    put_back "$keep.now"
    say "$words"
    die "$EX_NGINX" "nginx refuses its configuration with the site of before in it; the files are as they were"
  fi
  nginx_reload >&2
  if noted "$release"; then gone "$trial_note"; fi
  drop_kept "$keep"
  drop_kept "$keep.now"
  result restored yes
}

# edited_since FOLDER: dies where the site in whose place that is to go is one that this action has not
# written: it would be lost.
edited_since() {
  local kept file record=${flags%/active}/site.conf
  if [[ ! -e $record ]]; then return; fi
  for kept in "$1"/*; do
    kept_of "$kept"
    if [[ $file != */"$app".@(|upstreams.)conf || ! -e $file ]] || cmp -s -- "$file" "$kept" \
      || cmp -s -- "$file" "$record" || cmp -s -- "$file" "$record.next" || cmp -s -- "$file" "$record.back"; then
      continue
    fi
    gone "$trial_note"
    die "$EX_CHECK" "$file was edited since this action wrote it, so the nginx site of before does not come back"
  done
}

# keep_present FOLDER: what is now in the place of what is kept there, in FOLDER.now. A folder that
# was not there is given back only where it is empty.
keep_present() {
  local kept file
  begin_keeping "$1.now"
  for kept in "$1"/*; do
    [[ -e $kept || -L $kept ]] || continue
    kept_of "$kept"
    if [[ ! -d $file ]]; then set_aside "$1.now" "$file"; fi
  done
  end_keeping "$1.now"
}

main "$@" </dev/null
