import logging, sys

logging.warning("by the root logger")
logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(filename)s:%(lineno)d %(message)s", force=True)
log = logging.getLogger("app.part")
log.info("an info", stack_info=True)
try:
    {}["x"]
except KeyError:
    log.exception("with a traceback")
log.error("badly formatted %d", "text")
