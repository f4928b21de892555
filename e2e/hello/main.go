// Hello is the smallest application that can be deployed: it listens on $PORT and answers everything. The benchmarks put it behind nginx,
// so that what they measure is nginx.
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
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "healthy\n") }),
	}
	log.Fatal(server.ListenAndServe())
}
