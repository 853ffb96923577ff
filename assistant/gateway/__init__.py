"""From a request to an answer, whatever wire the client and the provider speak.

A call goes through these, in this order:

    open      the way in: plan, admit, retrieve, start
    plan      what is judged before anybody is asked; `known`: without the database
    prompts   what a model is told; `fim`: how one is shown a cursor
    context   how much of it fits, and which passages of the user's code
    turn      the answer: asked for, shown in pieces, settled; `outcome`: its end
    routing   whom the turn asks, one after the other; `vitals`: how each of them does

Beside them stand `embedding` (texts to vectors, in one go), `spare` (a local model in
the place of a refusal), `natives` (a body for its own vendor), `notices` and
`unfencing` (what is said about an answer, and taken off one), and `background` (what
must come to its end).
"""
