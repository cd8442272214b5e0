/* A browser starts no worker for a page that was opened as a file. There, the search runs in a hidden frame of the page.
   The theme's search asks for a class of this name to find its files, which an index in English alone has no need of. */
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.scope = frame.contentWindow
      this.started = new Promise((resolve) => { frame.onload = resolve })
      this.scope.document.open()
      this.scope.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      this.scope.document.write(`<script src="${url}"></script>`)
      this.scope.document.close()
    }

    postMessage(data) {
      this.started.then(() => this.scope.dispatchEvent(new MessageEvent("message", { data })))
    }
  }
  window.Worker = window.IFrameWorker
}
