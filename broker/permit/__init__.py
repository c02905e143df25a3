"""May they: gather the policies that apply, build the context, ask the engine."""
