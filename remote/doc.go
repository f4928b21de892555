// Package remote runs commands on a host over SSH. It verifies the host, logs
// in with one key, streams output, and tells three ends apart that must never
// be mixed up: the command succeeded, the host said no ([ExitError]), and
// nobody knows ([LostError]).
//
// A host that can not be reached, trusted or logged in to is a [DialError], a
// [HostKeyError] or an [AuthError]; each names its usual causes.
//
// The package knows nothing of deployments.
package remote
