package object

import "github.com/cilium/ebpf/asm"

// Link puts the functions of a program in the order in which libbpf, which loads what is attached, lays them out: each behind
// what came before its first reference. The kernel's tag of a program depends on it.
//
// Source: bpf_object__reloc_code in tools/lib/bpf/libbpf.c of the Linux tree.
func Link(program asm.Instructions) asm.Instructions {
	functions := make(map[string]asm.Instructions)
	var first, name string
	for _, instruction := range program {
		if symbol := instruction.Symbol(); symbol != "" {
			name = symbol
		}
		if first == "" {
			first = name
		}
		functions[name] = append(functions[name], instruction)
	}
	linked := make(asm.Instructions, 0, len(program))
	var add func(string)
	add = func(name string) {
		body := functions[name]
		// Each once, and nothing for what is no function of this program.
		delete(functions, name)
		linked = append(linked, body...)
		for _, instruction := range body {
			if instruction.IsFunctionReference() {
				add(instruction.Reference())
			}
		}
	}
	add(first)
	return linked
}
