def answer(payload, context):
    model = payload.get("model", "small")
    words = payload["question"].split()
    context.count("tokens", len(words), model=model)
    context.observe("question_words", len(words))
    context.gauge("longest_question_words", len(words))
    context.attribute("gen_ai.request.model", model)
    return {**payload, "answer": f"{len(words)} words"}


def answer_by_yield(payload):
    words = payload["question"].split()
    yield "SET", ".metrics.tokens", {"add": len(words), "labels": {"model": "small"}}
    yield "SET", '.span["gen_ai.request.model"]', "small"
    yield {**payload, "answer": f"{len(words)} words"}
