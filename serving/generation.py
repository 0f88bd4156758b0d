"""Text from models that write it: whole, in pieces, and from kept states."""

from collections.abc import AsyncGenerator

from serving.accounting import OK, Accounting, Entry
from serving.errors import ServingError
from serving.generation_types import GenerateRequest, collect
from serving.loaded_model import LoadedModel
from serving.repository import ModelRepository
from serving.scheduler import SequenceStep
from serving.session_store import Lease
from serving.tasks.text_answer import TextAnswer
from serving.text_sessions import TextSessions, generator_of
from serving.text_tensors import TextAnswerForm, TextCall, parse_text_call
from serving.types import InferRequest, InferResponse


class Generation:
    """Answers requests for text. Lives on the event loop."""

    def __init__(
        self, repository: ModelRepository, sessions: TextSessions, accounting: Accounting
    ) -> None:
        """Write with the models of ``repository``, go on with the texts of ``sessions``."""
        self._repository = repository
        self._sessions = sessions
        self._accounting = accounting

    async def generate(self, request: GenerateRequest) -> TextAnswer:
        """See ``InferenceService.generate``."""
        entry = self._accounting.open(request)
        with entry.failing():
            answer, lease = self._start(entry, request)

        def end(error: ServingError | None) -> None:
            if lease is not None:
                lease.release()
            if error is not None:
                error.counted = True
            entry.close(OK if error is None else error.outcome)

        answer.on_end = end
        return answer

    async def infer(self, request: InferRequest, entry: Entry) -> InferResponse:
        """The whole text of a request for a text model, which ``entry`` counts."""
        answer, call = self._start_call(request, entry)
        (text,) = await collect(answer)
        return _form(answer, call).response(text.text, text.finish_reason)

    async def stream_infer(
        self, request: InferRequest, entry: Entry
    ) -> AsyncGenerator[InferResponse, None]:
        """The pieces of a request for a text model, which ``entry`` counts."""
        answer, call = self._start_call(request, entry)
        form = _form(answer, call)
        try:
            async for piece in answer:
                response = form.response(piece.text, piece.finish_reason)
                if response.final:
                    # Readers know it for the last one and may never ask for the end.
                    entry.close(OK)
                yield response
        finally:
            await answer.aclose()

    def _start_call(self, request: InferRequest, entry: Entry) -> tuple[TextAnswer, TextCall]:
        call = parse_text_call(request)
        answer, lease = self._start(entry, call.request, call.sequence)
        if lease is not None:
            answer.on_end = lambda error: lease.release()
        return answer, call

    def _start(
        self, entry: Entry, request: GenerateRequest, sequence: SequenceStep | None = None
    ) -> tuple[TextAnswer, Lease | None]:
        """Begin to write, in a kept text if one is meant; the lease ends with the answer."""
        lease = None
        if request.session:
            entry.model, lease = self._sessions.resume(request)
        else:
            entry.model = self._find(request)
            if sequence is not None:
                lease = self._sessions.resume_sequence(entry.model, sequence)
        generator = generator_of(entry.model)
        if lease is None:
            return generator.start(request), None
        ends = sequence is not None and sequence.end
        try:
            answer = generator.start(
                request, resumed=lease.kept.point, keep=None if ends else lease.keep
            )
        except BaseException:
            lease.undo()
            raise
        lease.begun()
        if ends:
            self._sessions.drop(lease)
        return answer, lease

    def _find(self, request: GenerateRequest) -> LoadedModel:
        """The version asked for, else the receipt's while it is ready, else the default."""
        name = self._repository.real_name(request.model_name)
        version, receipt = request.model_version, request.receipt
        if receipt is not None and not version and receipt.model == name:
            for model in self._repository.ready_models():
                if (model.name, str(model.version)) == (name, receipt.version):
                    return model
        return self._repository.get(name, version)


def _form(answer: TextAnswer, call: TextCall) -> TextAnswerForm:
    return TextAnswerForm(
        model_name=answer.model_name,
        model_version=answer.model_version,
        receipt=answer.receipt,
        id=call.request.id,
        outputs=call.outputs,
    )
