#!/usr/bin/env bash
# Waits until a slot that gets no new requests has none left.
#
# Values: app, path, port, instead (the port that gets the requests), drain_timeout (seconds),
#         verify_host, retiring (yes: nginx has just been told that the site is gone, and those
#         of its workers that still finish what they had are waited for)
# Prints: left (connections still open when the time was over), hand (busy, idle, unknown: what
#         nginx then said of the requests it has in hand for the slot), drain_ms; flag (right;
#         moved: only this port has one; unclear: both ports have one or none. New requests come, or
#         may, where it is not right, and nothing is waited for)

main() { drain "$port" "$instead"; }

main "$@" </dev/null
