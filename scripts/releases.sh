#!/usr/bin/env bash
# Lists the complete releases on the host and the last deployments. Changes nothing.
#
# Values: path, history (how many deployments), list (yes: with sizes)
# Prints: release_N (newest first): id, commit, and where it stands among those that have served
#         (see mark_live), or `never`; and `socket` where its start command takes one, `processes`
#         where it has any beside that, or jobs, `left` where a rollback went back from it; assets_N,
#         where it has any: what names their contents;
#         mb_N: what that release takes; sizes: what takes how much, for people; history_N (oldest first): a
#         line of deploys.jsonl

main() {
  local id dir n=0 live workers timers assets
  while IFS= read -r id; do
    dir=$path/releases/$id/.deploy-action
    [[ $id =~ ^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7}$ && -e $dir/complete ]] || continue
    if [[ -e $dir/live ]]; then printf -v live '%d' "$(<"$dir/live")"; else live=never; fi
    if [[ -e $dir/socket ]]; then live+=' socket'; fi
    workers_of "$path/releases/$id"
    timers_of "$path/releases/$id"
    if [[ -n $workers$timers ]]; then live+=' processes'; fi
    if [[ -e $dir/left ]]; then live+=' left'; fi
    result "release_$n" "$id $(<"$dir/commit") $live"
    if [[ -e $dir/assets ]]; then
      mapfile -t assets <"$dir/assets"
      result "assets_$n" "${assets[*]}"
    fi
    if [[ $list == yes ]]; then result "mb_$n" "$(($(size_kb "$path/releases/$id") / 1024))"; fi
    n=$((n + 1))
  done < <(find "$path/releases" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' 2>/dev/null | sort -r)
  if [[ $list == yes ]]; then result sizes "$(sizes)"; fi
  print_history "$history"
}

main "$@" </dev/null
