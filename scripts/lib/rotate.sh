#!/usr/bin/env bash
# Logs that grow while they are written to: logrotate's part, which each day copies and cuts what is
# large.
#
# Values: app, path

rotation_file=/etc/logrotate.d/deploy-action-$app

# rotates: is it there to do that?
rotates() { have logrotate && [[ -d ${rotation_file%/*} ]]; }

# rotation: prints its rules. As the user, whose folder it is: root would follow a link in it.
rotation() {
  printf '# Written by deploy-action; logs over 10 MB, two old ones of each slot.\n'
  printf '%s/logs/*.log {\n  su %s %s\n  size 10M\n  rotate 2\n  copytruncate\n  missingok\n}\n' \
    "$path" "$me" "$(id -gn)"
}

write_rotation() { rotation | write_root "$1" 0644; }
