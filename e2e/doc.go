// Package e2e is the proof: the action's own image, run as GitHub's runner runs it, deploys real
// applications to real hosts under load. It has only tests; `make test` prepares what they need.
package e2e
