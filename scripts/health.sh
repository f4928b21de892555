#!/usr/bin/env bash
# Asks the new process itself, on its own port, until it answers right; its death ends the wait at once.
#
# Values: app, path, port, pid, starttime, log_offset, health_path, health_status, health_body, health_host, health_timeout (seconds)
# Prints: boot_ms (start of the process to its first right answer), tries, open (yes: the port is so to others, past nginx)
# Exits:  EX_DIED, EX_MEMORY (the kernel ended it), EX_FOREIGN, EX_SILENT (never listened), EX_UNHEALTHY (listened, never answered right)

main() { wait_healthy; }

main "$@" </dev/null
