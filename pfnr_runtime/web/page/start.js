// Says what this browser, or this way of opening the page, lacks; otherwise unpacks the page's modules and starts
// them. A plain script in the language of old browsers, so that it runs there.

(function () {
  var notice = document.getElementById("notice");
  // A function of one SIMD instruction.
  var simd = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

  function missing() {
    if (location.protocol === "file:") {
      var folder = decodeURIComponent(location.pathname).replace(/[^/]*$/, "");
      return "Browsers do not let a page opened from a file load its parts. Serve the folder, and open " +
        "http://localhost:8000/ instead: python3 -m http.server -d '" + folder + "' 8000";
    }
    if (typeof DecompressionStream === "undefined" || typeof Worker === "undefined") {
      return "This browser is too old for this page; Chrome 103, Firefox 114, Safari 16.4 and newer ones play it.";
    }
    if (typeof WebAssembly === "undefined") {
      return "This browser lacks WebAssembly, or has it switched off, and this page decodes its videos with it.";
    }
    if (!WebAssembly.validate(new Uint8Array(simd))) {
      return "This browser's WebAssembly lacks SIMD, which decoding needs; a newer browser has it.";
    }
    return "";
  }

  // page.bin: a deflated JSON object of the page's content, modules and style, by name.
  function unpack(response) {
    if (!response.ok) throw new Error("page.bin: the server answers " + response.status + "; copy the whole folder.");
    return new Response(response.body.pipeThrough(new DecompressionStream("deflate-raw"))).json();
  }

  function start(files) {
    var made = {};
    function address(name) {
      if (!made[name]) {
        var type = /css$/.test(name) ? "text/css" : "text/javascript";
        made[name] = URL.createObjectURL(new Blob([linked(name)], { type: type }));
      }
      return made[name];
    }
    // A module whose imports and workers name addresses in place of files.
    function linked(name) {
      var at = function (path) { return JSON.stringify(address(new URL(path, "file:///" + name).pathname.slice(1))); };
      return files[name]
        .replace(/ from "([^"]+)"/g, function (_, path) { return " from " + at(path); })
        .replace(/new URL\("([^"]+)", import\.meta\.url\)/g, function (_, path) { return at(path); }) +
        (/js$/.test(name) ? "\n//# sourceURL=pfnr/" + name : "");
    }
    var style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = address("style.css");
    style.onload = function () {
      notice.remove();
      document.body.insertAdjacentHTML("beforeend", files["page.html"]);
      var script = document.createElement("script");
      script.type = "module";
      script.src = address("app.js");
      document.head.appendChild(script);
    };
    document.head.appendChild(style);
  }

  function fail(error) {
    document.body.style.fontFamily = "system-ui, sans-serif";
    notice.textContent = error.message;
  }

  if (missing()) fail({ message: missing() });
  else fetch("page.bin", { cache: "no-cache" }).then(unpack).then(start).catch(fail);
})();
