#!/usr/bin/env bash
# The managed nginx site: what of it is there, and whether nginx has it.
#
# Values: app, nginx_include, site_file, site and include (their texts), site_id (names these
#         texts), entry_file (who gets in in maintenance; the site needs one, whatever it says) and
#         entry (its text), verify_host

late_file=${site_file%/*}/$app.late.conf
certificate_mark=/var/lib/deploy-action/$app/certificate # names the one that is there, for all to read
site_written=/var/lib/deploy-action/$app/site.conf       # as this action wrote it last, or is about to (.next, .back)

# look_at_site: sets differing (the files to be written) and edited (yes: others changed the site;
# then it is left as it is, and so is site). Ends the script where the site is not ours to write.
look_at_site() {
  differing=() edited=no
  if [[ -e $site_file && -e $site_written ]] && ! recorded "$site_written"{,.next,.back}; then
    same "$site_written" "$site" \
      || die "$EX_NGINX" "$site_file was edited since this action wrote it, and another one is to be written, for \
other inputs or by another version: move the edits to a file in /etc/nginx/$app.d, which the site includes, and delete \
$site_written"
    site=$(<"$site_file")
    edited=yes
  elif [[ -e $site_file && ! -e $site_written ]] && ! written_by_us "$site_file"; then
    die "$EX_NGINX" "$site_file exists and was not written by this action; rename it, or choose another name with the \
input app"
  fi
  same "$site_file" "$site" || differing+=("$site_file")
  same "$nginx_include" "$include" || differing+=("$nginx_include")
  [[ -e $entry_file ]] || differing+=("$entry_file")
}

# recorded RECORD...: is the site's file one of these texts?
recorded() {
  local record there
  there=$(<"$site_file")
  for record in "$@"; do
    if [[ -e $record && $there == "$(<"$record")" ]]; then return; fi
  done
  return 1
}

# same FILE TEXT: is that its text, but for the line that names the slot nginx falls back to?
same() {
  local text there
  [[ -r $1 ]] || return 1
  there=$(<"$1")
  if [[ $there == "${2%$'\n'}" ]]; then return; fi # as it usually is: bash reads a text's lines byte by byte
  without_set "$there"
  there=$text
  without_set "$2"
  [[ $text == "$there" ]]
}

# without_set TEXT: sets text to it, less such lines.
without_set() {
  local rest=$'\n'${1%$'\n'}$'\n'
  text=''
  while [[ $rest == *$'\nset '* ]]; do
    text+=${rest%%$'\nset '*} rest=${rest#*$'\nset '}
    rest=$'\n'${rest#*$'\n'}
  done
  text+=$rest
}

# site_loaded: does nginx itself answer with these texts, whoever asks? Sets elsewhere to where it
# does not, if it does so here.
site_loaded() {
  local chosen loaded terms closed front as way somebody
  elsewhere=''
  routed
  [[ $loaded == "$site_id" ]] && routed_for_all
}
