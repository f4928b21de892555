// Package faults is the proof of what a deployment does when something breaks: the fault suite,
// and the soak. It has only tests; `make test` runs a part of both, `make faults` and `make soak`
// all.
package faults
