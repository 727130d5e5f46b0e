package object_test

import (
	"slices"
	"testing"

	"github.com/cilium/ebpf/asm"

	"tripod/go-backend/internal/object"
)

func call(name string) asm.Instruction {
	return asm.Instruction{
		OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoCall, Constant: -1,
	}.WithReference(name)
}

func function(name string, calls ...string) asm.Instructions {
	body := asm.Instructions{asm.Mov.Imm(asm.R0, 0).WithSymbol(name)}
	for _, callee := range calls {
		body = append(body, call(callee))
	}
	return append(body, asm.Return())
}

func TestFunctionsAreLinkedAsLibbpfDoes(t *testing.T) {
	program := slices.Concat(
		function("main", "a", "b", "a"), function("a", "c"), function("b"), function("d"), function("c", "d", "b"),
	)
	var got []string
	linked := object.Link(program)
	for _, instruction := range linked {
		if symbol := instruction.Symbol(); symbol != "" {
			got = append(got, symbol)
		}
	}
	if want := []string{"main", "a", "c", "d", "b"}; !slices.Equal(got, want) || len(linked) != len(program) {
		t.Errorf("got %v with %d instructions, want %v with %d", got, len(linked), want, len(program))
	}
}
