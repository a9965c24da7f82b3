"""`python -m tests.fake_llm`."""

import signal
import subprocess
import sys

import openai


def test_the_command_serves_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-m", "tests.fake_llm", "--tokens", "3", "--models", "a,b"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().split()[-1]
        with openai.OpenAI(base_url=base_url, api_key="any", max_retries=0) as client:
            answer = client.completions.create(model="a", prompt="hello")
            models = [model.id for model in client.models.list()]
        process.send_signal(signal.SIGTERM)

    assert len(answer.choices[0].text.split()) == 3
    assert models == ["a", "b"]
    assert process.returncode == 0
