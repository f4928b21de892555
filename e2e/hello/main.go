// Hello is the smallest application that can be deployed: it listens on $PORT and answers
// everything, /slow after two seconds. The benchmarks put it behind nginx, so that what they
// measure is nginx.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	server := &http.Server{
		Addr:              "127.0.0.1:" + os.Getenv("PORT"),
		ReadHeaderTimeout: 10 * time.Second,
		Handler:           http.HandlerFunc(answer),
	}
	log.Fatal(server.ListenAndServe())
}

// answer takes two seconds for /slow.
func answer(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/slow" {
		select {
		case <-time.After(2 * time.Second):
		case <-r.Context().Done():
		}
	}
	_, _ = io.WriteString(w, "healthy\n")
}
