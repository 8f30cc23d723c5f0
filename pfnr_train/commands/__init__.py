"""`pfnr-train`: one file per subcommand."""

from __future__ import annotations

from pfnr_runtime.commands.console import make_app
from pfnr_train.commands.add import add
from pfnr_train.commands.compare import compare_methods
from pfnr_train.commands.eval import evaluate
from pfnr_train.commands.import_ import NumberListCommand, import_reference
from pfnr_train.commands.info import info
from pfnr_train.commands.libraries.extract import extract
from pfnr_train.commands.libraries.fsck import fsck
from pfnr_train.commands.libraries.merge import merge
from pfnr_train.commands.libraries.remove import remove
from pfnr_train.commands.run import run

app = make_app("Train videos into a library, one session after another; old videos never change.")
app.command("add")(add)
app.command("info")(info)
app.command("eval")(evaluate)
app.command("import", cls=NumberListCommand)(import_reference)
app.command("compare")(compare_methods)
app.command("run")(run)
app.command("merge")(merge)
app.command("extract")(extract)
app.command("remove")(remove)
app.command("fsck")(fsck)
