window.appConfig = { title: "Reading room: lending", login: "{{uucUrl}}/login/" };
