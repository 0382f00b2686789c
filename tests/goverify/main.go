package main

import (
	"fmt"
	"os"
)

const usage = `Usage:
  goverify FOLDER     verifies a checkpoint, an inclusion proof and a consistency proof; the folder holds
                      vkey, checkpoint, checkpoint.old, consistency, proof.tlog-proof, leaf and entry
  goverify vectors    prints the Merkle vectors that tests/vectors/merkle-go.json holds
Exit: 0 all of it holds, 1 it does not, 2 the command is wrong.
`

func main() {
	if len(os.Args) != 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "goverify:", err)
		os.Exit(1)
	}
}

func run(what string) error {
	if what == "vectors" {
		bytes, err := vectors()
		if err == nil {
			_, err = os.Stdout.Write(bytes)
		}
		return err
	}
	s, err := readSample(what)
	if err != nil {
		return err
	}
	p, err := s.verify()
	if err != nil {
		return err
	}
	fmt.Printf("%s: leaf %d is in the tree of %d, and the tree of %d begins with the tree of %d\n", p.origin, p.index, p.proof, p.size, p.old)
	return nil
}
