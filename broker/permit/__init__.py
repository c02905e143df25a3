"""Whether a caller may: gather the policies that apply, build the context, ask the engine.

The `guard` is the one gate of a call; a `need` is what it is asked for. `gather` compiles
each policy once per change, `context` has the condition keys that every call brings,
`messages` what a refused caller may know. `rates` bounds how often an account may call.

What policies mean is for `broker.policy`; what a call needs, for its action.
"""
