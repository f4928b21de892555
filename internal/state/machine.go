package state

import "fmt"

// SameMachine refuses two addresses of one machine: a run would wait for itself there, or start the
// release twice. Hosts are an address and the machine each; one that is not known is passed over.
func SameMachine(hosts [][2]string) error {
	first := map[string]string{}
	for _, h := range hosts {
		address, machine := h[0], h[1]
		if other, known := first[machine]; known && machine != "" {
			return fmt.Errorf("%s and %s are one machine: leave one of them out of the input \"host\"", other, address)
		}
		first[machine] = address
	}
	return nil
}
