package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Leaf i of every tree here is the text "leaf i". One tree, looked at in all its sizes, is as good as many.
func leaf(i int64) []byte { return []byte(fmt.Sprintf("leaf %d", i)) }

// The sizes about which a tree's shape changes, up to past one full tile of 256.
var proofSizes = []int64{1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33, 70, 256, 257, 300}

// The ones whose proofs are also broken in every way.
var brokenSizes = []int64{1, 3, 7, 8, 70, 257}

const (
	allSizesTo = 70
	largest    = 300
)

type rootCase struct {
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
}

// A proof, and whether it holds. A case that does not says what was done to it.
type inclusionCase struct {
	Size  int64       `json:"size"`
	Index int64       `json:"index"`
	Leaf  tlog.Hash   `json:"leaf_hash"`
	Root  tlog.Hash   `json:"root"`
	Proof []tlog.Hash `json:"proof"`
	Wrong string      `json:"wrong,omitempty"`
}

type consistencyCase struct {
	Old     int64       `json:"old"`
	New     int64       `json:"new"`
	OldRoot tlog.Hash   `json:"old_root"`
	NewRoot tlog.Hash   `json:"new_root"`
	Proof   []tlog.Hash `json:"proof"`
	Wrong   string      `json:"wrong,omitempty"`
}

// vectors makes the whole file: one case a line, so that a change to it can be read.
func vectors() ([]byte, error) {
	t, err := grow(largest)
	if err != nil {
		return nil, err
	}
	roots, err := t.roots()
	if err != nil {
		return nil, err
	}
	inclusion, err := t.inclusions()
	if err != nil {
		return nil, err
	}
	consistency, err := t.consistencies()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString("{\n\"source\": \"tests/goverify vectors, with golang.org/x/mod/sumdb/tlog; leaf i is the text 'leaf i'; a case with 'wrong' must be refused\"")
	writeCases(&out, "roots", roots)
	writeCases(&out, "inclusion", inclusion)
	writeCases(&out, "consistency", consistency)
	out.WriteString("\n}\n")
	return out.Bytes(), nil
}

func writeCases[T any](out *bytes.Buffer, name string, cases []T) {
	fmt.Fprintf(out, ",\n%q: [\n", name)
	for i, c := range cases {
		line, _ := json.Marshal(c) // hashes and numbers always have a form
		out.Write(line)
		if i < len(cases)-1 {
			out.WriteString(",")
		}
		out.WriteString("\n")
	}
	out.WriteString("]")
}

// A tree's stored hashes, in tlog's order.
type tree []tlog.Hash

func (t tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hashes[i] = t[index]
	}
	return hashes, nil
}

func grow(size int64) (tree, error) {
	var t tree
	for i := int64(0); i < size; i++ {
		hashes, err := tlog.StoredHashes(i, leaf(i), t)
		if err != nil {
			return nil, err
		}
		t = append(t, hashes...)
	}
	return t, nil
}

func (t tree) roots() ([]rootCase, error) {
	var cases []rootCase
	for size := int64(1); size <= largest; size++ {
		if size > allSizesTo && !has(proofSizes, size) {
			continue
		}
		root, err := tlog.TreeHash(size, t)
		if err != nil {
			return nil, err
		}
		cases = append(cases, rootCase{size, root})
	}
	return cases, nil
}

func (t tree) inclusions() ([]inclusionCase, error) {
	var cases []inclusionCase
	for _, size := range proofSizes {
		for _, index := range distinct(0, size/3, size/2, size-1) {
			proof, err := tlog.ProveRecord(size, index, t)
			if err != nil {
				return nil, err
			}
			root, err := tlog.TreeHash(size, t)
			if err != nil {
				return nil, err
			}
			c := inclusionCase{size, index, tlog.RecordHash(leaf(index)), root, nonNil(proof), ""}
			cases = append(cases, c)
			if has(brokenSizes, size) {
				cases = append(cases, c.broken()...)
			}
		}
	}
	return cases, judged(cases)
}

func (t tree) consistencies() ([]consistencyCase, error) {
	var cases []consistencyCase
	for _, size := range proofSizes {
		for _, old := range distinct(1, size/3, size/2, size-1, size) {
			if old < 1 {
				continue
			}
			c, err := t.consistency(size, old)
			if err != nil {
				return nil, err
			}
			cases = append(cases, c)
			if has(brokenSizes, size) {
				cases = append(cases, c.broken()...)
			}
		}
	}
	return cases, judged(cases)
}

func (t tree) consistency(size, old int64) (consistencyCase, error) {
	proof, err := tlog.ProveTree(size, old, t)
	if err != nil {
		return consistencyCase{}, err
	}
	newRoot, err := tlog.TreeHash(size, t)
	if err != nil {
		return consistencyCase{}, err
	}
	oldRoot, err := tlog.TreeHash(old, t)
	return consistencyCase{old, size, oldRoot, newRoot, nonNil(proof), ""}, err
}

// broken makes what must be refused out of what must be accepted.
func (c inclusionCase) broken() []inclusionCase {
	var cases []inclusionCase
	add := func(wrong string, change func(*inclusionCase)) {
		b := c
		b.Proof, b.Wrong = append([]tlog.Hash{}, c.Proof...), wrong
		change(&b)
		cases = append(cases, b)
	}
	add("another leaf", func(b *inclusionCase) { b.Leaf[31] ^= 1 })
	add("another root", func(b *inclusionCase) { b.Root[0] ^= 0x80 })
	add("index past the end", func(b *inclusionCase) { b.Index = b.Size })
	add("a hash too many", func(b *inclusionCase) { b.Proof = append(b.Proof, b.Root) })
	if n := len(c.Proof); n > 0 {
		add("a bit of the proof", func(b *inclusionCase) { b.Proof[n-1][7] ^= 0x10 })
		add("a hash too few", func(b *inclusionCase) { b.Proof = b.Proof[:n-1] })
		add("another index", func(b *inclusionCase) { b.Index = (b.Index + 1) % b.Size })
	}
	return cases
}

func (c consistencyCase) broken() []consistencyCase {
	var cases []consistencyCase
	add := func(wrong string, change func(*consistencyCase)) {
		b := c
		b.Proof, b.Wrong = append([]tlog.Hash{}, c.Proof...), wrong
		change(&b)
		cases = append(cases, b)
	}
	add("another old root", func(b *consistencyCase) { b.OldRoot[31] ^= 1 })
	add("another new root", func(b *consistencyCase) { b.NewRoot[0] ^= 0x80 })
	add("a hash too many", func(b *consistencyCase) { b.Proof = append(b.Proof, b.NewRoot) })
	if c.Old != c.New {
		add("roots exchanged", func(b *consistencyCase) { b.OldRoot, b.NewRoot = b.NewRoot, b.OldRoot })
		add("old and new exchanged", func(b *consistencyCase) { b.Old, b.New = b.New, b.Old })
	}
	if n := len(c.Proof); n > 0 {
		add("a bit of the proof", func(b *consistencyCase) { b.Proof[n-1][7] ^= 0x10 })
		add("a hash too few", func(b *consistencyCase) { b.Proof = b.Proof[:n-1] })
	}
	return cases
}

// judged has each case said right or wrong by tlog itself.
func judged[T interface {
	check() error
	right() bool
}](cases []T) error {
	for _, c := range cases {
		if err := c.check(); (err == nil) != c.right() {
			return fmt.Errorf("tlog judges otherwise (%v): %+v", err, c)
		}
	}
	return nil
}

func (c inclusionCase) check() error {
	return tlog.CheckRecord(c.Proof, c.Size, c.Root, c.Index, c.Leaf)
}

func (c inclusionCase) right() bool { return c.Wrong == "" }

func (c consistencyCase) check() error {
	return tlog.CheckTree(c.Proof, c.New, c.NewRoot, c.Old, c.OldRoot)
}

func (c consistencyCase) right() bool { return c.Wrong == "" }

func has(numbers []int64, number int64) bool {
	for _, n := range numbers {
		if n == number {
			return true
		}
	}
	return false
}

func distinct(numbers ...int64) []int64 {
	var kept []int64
	for _, number := range numbers {
		if !has(kept, number) {
			kept = append(kept, number)
		}
	}
	return kept
}

// An empty proof is written as [], not as null.
func nonNil(hashes []tlog.Hash) []tlog.Hash {
	return append([]tlog.Hash{}, hashes...)
}
