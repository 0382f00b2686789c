package main

import (
	"bytes"
	"os"
	"testing"
)

// The vectors that the ledger's code is held against are the ones that this program makes.
func TestCommittedVectorsAreTheOnesMadeHere(t *testing.T) {
	committed, err := os.ReadFile("../vectors/merkle-go.json")
	must(t, err)
	made, err := vectors()
	must(t, err)
	if !bytes.Equal(committed, made) {
		t.Fatal("they differ: go run . vectors > ../vectors/merkle-go.json")
	}
}
