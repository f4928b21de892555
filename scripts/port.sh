#!/usr/bin/env bash
# Gathers what the host says about the two slots; what it means is decided in Go. Changes nothing.
#
# Values: app, path, ports (two, blank-separated), nginx_include, verify_host, repository
#         (owner/name)
# Prints: include (absent, ours, line: nothing but one line that names a port, other): the file as
#         nginx has it on disk; line_port: the port that such a line names, else 0; site (ours,
#         theirs): whose server block includes the file; routed: where nginx itself says it sends
#         requests, empty when our site is not loaded; strays: flags of ports outside the pair;
#         include_app, include_path: the other application of this action's whose the file is, and
#         its deploy root, or nothing; last_repository: whose releases are here, or nothing; boot:
#         names the host's boot; recipe_key: by which recipes are told, or nothing before the first
#         deployment; spare (two ports on which nothing listens), where one of the pair is not ours;
#         closed (since when visitors get the maintenance page, in seconds, or nothing); site_trial:
#         the port and the release for which the site was written, while they are not proved, and the
#         name under which the site of before is kept, or nothing
#         For each port N: flag_N, adopted_N, enabled_N, mine_N (yes, no: it was of the pair
#         before), listen_N (none, ours, held, foreign), socket_N (yes, no: systemd holds it),
#         pid_N, group_N (see group_of), release_N, commit_N, recipe_N, proved_N (yes, no: it came
#         through its probation), by_N (JSON: the run that put it live), rss_mb_N, claimed_N: the
#         other application of this action's that has it in its pair, or nothing; processes_N: names
#         of those that the release has beside the one that serves; workers_N: the release and names
#         of those that run, with "-changing" behind the release while they were being changed;
#         timers_N: of its jobs. schedule: the timers that are set, and "changing" while they were
#         being changed; failed_jobs: those whose last run failed, for people
#         For each port N, line_port too, where a process that we did not start listens: who_N (for
#         people), holders_N (pid:starttime of all), folder_N (where they work), clone_N and head_N
#         (the repository's clone there, and its commit), unit_N (its systemd service), app_N

# It is found out while the verb before has its turn, which changes nothing either.
main() { tell_ahead facts; }

main "$@" </dev/null
